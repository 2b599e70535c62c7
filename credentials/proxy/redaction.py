"""Masking a secret that a provider sends back: whoever may use a credential may not see it.

Masks are as long as what they stand for, so a body keeps the length that was announced.
"""

from __future__ import annotations

import base64
import html
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MIN_SECRET_LENGTH: Final = 8
"""Shorter secrets are not looked for: they occur by chance."""

MAX_INSPECTED_BYTES: Final = 16 * 1024 * 1024
"""So much of a compressed body, once decompressed, is looked at."""

SUPPORTED_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})

_GZIP: Final = 16 + zlib.MAX_WBITS


class SecretEchoedError(Exception):
    """A secret came back where it cannot be masked: within a compressed body."""


class SecretForms:
    """The forms in which a server may write any of some secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found: set[bytes] = set()
        for secret in secrets:
            if len(secret) >= MIN_SECRET_LENGTH:
                found.update(_forms(secret))
        # Longer ones first: one form may begin with another.
        self.patterns = sorted((form for form in found if len(form) >= MIN_SECRET_LENGTH), key=len)[
            ::-1
        ]

    def mask(self, data: bytes) -> bytes:
        """`data` with every form in it masked; `data` itself where there is none."""
        for form in self.patterns:
            if form in data:
                data = data.replace(form, b"*" * len(form))
        return data

    def occur_in(self, data: bytes) -> bool:
        return any(form in data for form in self.patterns)

    def partial_suffix_length(self, data: bytes) -> int:
        """How many bytes at the end of `data` may be the beginning of a form."""
        return max((suffix_overlap(data, form) for form in self.patterns), default=0)


class MaskingFilter:
    """A stream that is masked as it passes. `found`: whether anything was."""

    def __init__(self, forms: SecretForms) -> None:
        self._forms = forms
        self._kept = b""
        self.secret_found = False

    def feed(self, chunk: bytes) -> bytes:
        """What may go on. What could be the beginning of a secret waits for the next chunk."""
        data = self._kept + chunk
        masked = self._forms.mask(data)
        self.secret_found = self.secret_found or masked is not data
        wait = self._forms.partial_suffix_length(masked)
        self._kept = masked[len(masked) - wait :]
        return masked[: len(masked) - wait]

    def flush(self) -> bytes:
        """What waited, once nothing follows."""
        rest, self._kept = self._kept, b""
        return rest


class InspectingFilter:
    """A compressed stream that is looked into as it passes, unchanged.

    `feed` raises Echoed instead of letting go the chunk in which a secret ends: what is compressed
    cannot be masked. It does the same for what is not in the encoding that it names.
    """

    def __init__(self, forms: SecretForms, encoding: str) -> None:
        self._forms = forms
        self._encoding = encoding
        self._inflater: zlib._Decompress | None = None
        self._kept = b""
        self._seen = 0
        self.secret_found = False

    def feed(self, chunk: bytes) -> bytes:
        if self._forms.patterns and self._seen < MAX_INSPECTED_BYTES:
            for piece in self._inflated(chunk):
                self._look(piece)
        return chunk

    def flush(self) -> bytes:
        return b""

    def _look(self, piece: bytes) -> None:
        self._seen += len(piece)
        data = self._kept + piece
        if self._forms.occur_in(data):
            self.secret_found = True
            raise SecretEchoedError("a secret came back in a compressed body")
        wait = self._forms.partial_suffix_length(data)
        self._kept = data[len(data) - wait :]

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        while data and self._seen < MAX_INSPECTED_BYTES:
            if self._inflater is None or self._inflater.eof:
                self._inflater = self._new(data)
            try:
                yield self._inflater.decompress(data, 65_536)
            except zlib.error:
                raise SecretEchoedError("a body was not in the encoding that it names") from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data

    def _new(self, data: bytes) -> zlib._Decompress:
        if self._encoding != "deflate":
            return zlib.decompressobj(_GZIP)
        wrapped = data[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def build_body_filter(encoding: str, forms: SecretForms) -> MaskingFilter | InspectingFilter:
    """The filter for a body with this Content-Encoding, one of ENCODINGS."""
    return (
        MaskingFilter(forms) if encoding in {"", "identity"} else InspectingFilter(forms, encoding)
    )


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret)[1:-1].replace("/", "\\/").encode()
    yield html.escape(secret).encode()
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield escaped.encode()
        yield _lower_escapes(escaped).encode()
    yield _escaped_whole(raw)
    yield _escaped_whole(raw).lower()
    for before in range(3):
        yield from _within_base64(raw, before)


def _within_base64(raw: bytes, before: int) -> Iterator[bytes]:
    """What of the base64 of a longer text depends on `raw` alone, where `before` bytes (modulo 3) precede it."""
    start = -(-before * 8 // 6)
    end = (before + len(raw)) * 8 // 6
    padded = bytes(before) + raw + bytes(2)
    yield base64.b64encode(padded)[start:end]
    yield base64.urlsafe_b64encode(padded)[start:end]


def _escaped_whole(raw: bytes) -> bytes:
    """With every byte escaped that is no letter or digit, as some do with `_` and `-`."""
    return b"".join(
        b"%c" % byte if chr(byte).isalnum() and byte < 128 else b"%%%02X" % byte for byte in raw
    )


def _lower_escapes(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def suffix_overlap(data: bytes, form: bytes) -> int:
    """The length of the longest end of `data` with which `form` begins, short of the whole of it."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return len(data) - at
        at = data.find(form[:1], at + 1)
    return 0
