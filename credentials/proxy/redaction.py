"""Masking of a secret that a provider sends back: callers may use a credential, but not see it.

A mask is as long as what it replaces, so that a body keeps the length that was announced.
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
"""Shorter secrets are not masked: they occur by chance."""

MAX_INSPECTED_BYTES: Final = 16 * 1024 * 1024
"""The part of a compressed body, in bytes after decompression, that is inspected."""

SUPPORTED_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})

_GZIP: Final = 16 + zlib.MAX_WBITS
_MAX_PIECE: Final = 64 * 1024


class SecretEchoedError(Exception):
    """A secret came back within a compressed body, in which it cannot be masked."""


class SecretForms:
    """The encodings in which a server may write any of some secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns: set[bytes] = set()
        for secret in secrets:
            if len(secret) >= MIN_SECRET_LENGTH:
                patterns.update(_iterate_forms(secret))
        # The longest first, because one form may begin with another.
        self.patterns = sorted(
            (pattern for pattern in patterns if len(pattern) >= MIN_SECRET_LENGTH), key=len
        )[::-1]

    def mask(self, data: bytes) -> bytes:
        """Return `data` with every secret masked, or the same object if there is none."""
        for pattern in self.patterns:
            if pattern in data:
                data = data.replace(pattern, b"*" * len(pattern))
        return data

    def occur_in(self, data: bytes) -> bool:
        return any(pattern in data for pattern in self.patterns)

    def partial_suffix_length(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` may be the start of a secret."""
        return max((suffix_overlap(data, pattern) for pattern in self.patterns), default=0)


class MaskingFilter:
    """A stream that is masked. `secret_found` becomes true with the first secret."""

    def __init__(self, forms: SecretForms) -> None:
        self._forms = forms
        self._pending = b""
        self.secret_found = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what may be sent. A possible start of a secret waits for the next chunk."""
        data = self._pending + chunk
        masked = self._forms.mask(data)
        self.secret_found = self.secret_found or masked is not data
        pending = self._forms.partial_suffix_length(masked)
        self._pending = masked[len(masked) - pending :]
        return masked[: len(masked) - pending]

    def flush(self) -> bytes:
        """Return what waited, at the end of the stream."""
        rest, self._pending = self._pending, b""
        return rest


class InspectingFilter:
    """A compressed stream that is inspected and passed on unchanged.

    `feed` raises SecretEchoedError instead of returning the chunk in which a secret ends, and for
    data that is not in the encoding that the response names.
    """

    def __init__(self, forms: SecretForms, encoding: str) -> None:
        self._forms = forms
        self._encoding = encoding
        self._inflater: zlib._Decompress | None = None
        self._pending = b""
        self._inspected = 0
        self.secret_found = False

    def feed(self, chunk: bytes) -> bytes:
        if self._forms.patterns and self._inspected < MAX_INSPECTED_BYTES:
            for piece in self._decompress(chunk):
                self._inspect(piece)
        return chunk

    def flush(self) -> bytes:
        return b""

    def _inspect(self, piece: bytes) -> None:
        self._inspected += len(piece)
        data = self._pending + piece
        if self._forms.occur_in(data):
            self.secret_found = True
            raise SecretEchoedError("a secret came back in a compressed body")
        pending = self._forms.partial_suffix_length(data)
        self._pending = data[len(data) - pending :]

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        while data and self._inspected < MAX_INSPECTED_BYTES:
            # A body may consist of several compressed members.
            if self._inflater is None or self._inflater.eof:
                self._inflater = self._create_inflater(data)
            try:
                # In bounded pieces: a small chunk may decompress to gigabytes.
                yield self._inflater.decompress(data, _MAX_PIECE)
            except zlib.error:
                raise SecretEchoedError("a body was not in the encoding that it names") from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data

    def _create_inflater(self, data: bytes) -> zlib._Decompress:
        if self._encoding != "deflate":
            return zlib.decompressobj(_GZIP)
        # Some servers send "deflate" without the zlib header (RFC 9110 §8.4.1.2).
        has_header = data[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def build_body_filter(encoding: str, forms: SecretForms) -> MaskingFilter | InspectingFilter:
    """Return the filter for a body with this Content-Encoding, one of SUPPORTED_ENCODINGS."""
    if encoding in {"", "identity"}:
        return MaskingFilter(forms)
    return InspectingFilter(forms, encoding)


def _iterate_forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    escaped_json = json.dumps(secret)[1:-1]
    yield escaped_json.encode()
    yield escaped_json.replace("/", "\\/").encode()
    yield html.escape(secret).encode()
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield quoted.encode()
        first, *escapes = quoted.split("%")
        # Hexadecimal digits in lower case, the rest as it is.
        yield "%".join([first, *(part[:2].lower() + part[2:] for part in escapes)]).encode()
    # Some servers escape `_` and `-`, too.
    fully_escaped = b"".join(
        b"%c" % byte if chr(byte).isalnum() and byte < 128 else b"%%%02X" % byte for byte in raw
    )
    yield fully_escaped
    yield fully_escaped.lower()
    # In the Base64 of a longer text the bytes before the secret shift it by 0, 1 or 2. Only the
    # characters from `start` to `end` depend on the secret alone.
    for shift in range(3):
        start = -(-shift * 8 // 6)
        end = (shift + len(raw)) * 8 // 6
        padded = bytes(shift) + raw + bytes(2)
        yield base64.b64encode(padded)[start:end]
        yield base64.urlsafe_b64encode(padded)[start:end]


def suffix_overlap(data: bytes, pattern: bytes) -> int:
    """Return the length of the longest end of `data` that begins `pattern` without completing it."""
    start = data.find(pattern[:1], max(0, len(data) - len(pattern) + 1))
    while start >= 0:
        if pattern.startswith(data[start:]):
            return len(data) - start
        start = data.find(pattern[:1], start + 1)
    return 0
