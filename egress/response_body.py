"""A body on its way in: decompressed, and never more of it than the limit allows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from egress.errors import ProtocolError, ResponseTooLargeError
from egress.requests import Headers, get_header

ACCEPTED_ENCODINGS: Final = "gzip, deflate"

_GZIP: Final = 16 + zlib.MAX_WBITS
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})


class BodyDecoder:
    """The rules for one answer's body; `host` is for the errors."""

    def __init__(self, host: str, headers: Headers, max_bytes: int | None) -> None:
        self._host = host
        self._max_bytes = max_bytes
        self._seen = self._given = 0
        named = (get_header(headers, "content-encoding") or "").strip().lower()
        self.encoding = "" if named == "identity" else named
        if self.encoding and self.encoding not in _ENCODINGS:
            raise self._broken("the answer's encoding is not one that was asked for")

    def check_content_length(self, length: str | None) -> None:
        """TooLarge before the first byte, where the answer itself says so."""
        if length and length.isdecimal() and self._max_bytes is not None:
            self._hold(int(length))

    def decode(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        """`raw` without its encoding. Raises TooLarge at the limit, Broken where it ends early."""
        for chunk in self._inflated(raw) if self.encoding else self._counted(raw):
            if chunk:
                self._given += len(chunk)
                self._hold(self._given)
                yield chunk

    def _counted(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in raw:
            self._seen += len(chunk)
            self._hold(self._seen)
            yield chunk

    def _inflated(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        inflater = None
        for chunk in self._counted(raw):
            while chunk:
                if inflater is None or inflater.eof:  # A gzip body may have several members.
                    inflater = self._inflater(chunk)
                yield from self._pieces(inflater, chunk)
                chunk = inflater.unused_data
        if inflater is not None and not inflater.eof:
            raise self._broken("the answer's body was cut short")

    def _pieces(self, inflater: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
        while not inflater.eof:
            room = self._room()
            piece = self._inflate(inflater, chunk, room)
            yield piece
            chunk = inflater.unconsumed_tail
            if not chunk and len(piece) < room:  # A full piece may have more behind it.
                return

    def _inflate(self, inflater: zlib._Decompress, chunk: bytes, room: int) -> bytes:
        try:
            return inflater.decompress(chunk, room)
        except zlib.error:
            raise self._broken("the answer's body is not in the encoding it names") from None

    def _inflater(self, chunk: bytes) -> zlib._Decompress:
        if self.encoding != "deflate":
            return zlib.decompressobj(_GZIP)
        # `deflate` is zlib's format (RFC 9110 §8.4.1.2), but some send what is inside of it.
        wrapped = chunk[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def _room(self) -> int:
        """How much may be inflated at once: one byte over the limit shows that it is passed."""
        if self._max_bytes is None:
            return 65_536
        return min(65_536, self._max_bytes - self._given + 1)

    def _hold(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise ResponseTooLargeError(
                self._host, f"the answer's body is over {self._max_bytes} bytes", sent=True
            )

    def _broken(self, reason: str) -> ProtocolError:
        return ProtocolError(self._host, reason, sent=True)
