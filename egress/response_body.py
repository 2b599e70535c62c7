"""Decompression of a response's body, within a limit of bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from egress.errors import ProtocolError, ResponseTooLargeError
from egress.headers import Headers, get_header

ACCEPTED_ENCODINGS: Final = "gzip, deflate"

_GZIP: Final = 16 + zlib.MAX_WBITS
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
_MAX_PIECE: Final = 65_536


class BodyDecoder:
    """Decodes the body of one response; `host` is for the error messages."""

    def __init__(self, host: str, headers: Headers, max_bytes: int | None) -> None:
        self._host = host
        self._max_bytes = max_bytes
        self._received_bytes = self._decoded_bytes = 0
        encoding = (get_header(headers, "content-encoding") or "").strip().lower()
        self.encoding = "" if encoding == "identity" else encoding
        if self.encoding and self.encoding not in _ENCODINGS:
            raise self._build_error("the response has an encoding that was not requested")

    def check_content_length(self, length: str | None) -> None:
        """Raise ResponseTooLargeError before the first byte if the announced length is too large."""
        if length and length.isdecimal() and self._max_bytes is not None:
            self._check_size(int(length))

    def decode(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the decompressed body.

        Raises ResponseTooLargeError at the limit, ProtocolError if the body ends early.
        """
        counted = self._count(chunks)
        for piece in self._decompress(counted) if self.encoding else counted:
            if piece:
                self._decoded_bytes += len(piece)
                self._check_size(self._decoded_bytes)
                yield piece

    def _count(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._received_bytes += len(chunk)
            self._check_size(self._received_bytes)
            yield chunk

    def _decompress(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decompressor = None
        for chunk in chunks:
            while chunk:
                # A gzip body may consist of several members.
                if decompressor is None or decompressor.eof:
                    decompressor = self._create_decompressor(chunk)
                yield from self._decompress_chunk(decompressor, chunk)
                chunk = decompressor.unused_data
        if decompressor is not None and not decompressor.eof:
            raise self._build_error("the body of the response was cut short")

    def _decompress_chunk(self, decompressor: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
        while not decompressor.eof:
            # One byte more than the limit allows shows that the body exceeds it.
            room = _MAX_PIECE
            if self._max_bytes is not None:
                room = min(room, self._max_bytes - self._decoded_bytes + 1)
            try:
                piece = decompressor.decompress(chunk, room)
            except zlib.error:
                raise self._build_error("the body does not have the encoding it declares") from None
            yield piece
            chunk = decompressor.unconsumed_tail
            # A piece of the maximum size may be followed by more of the same input.
            if not chunk and len(piece) < room:
                return

    def _create_decompressor(self, chunk: bytes) -> zlib._Decompress:
        if self.encoding != "deflate":
            return zlib.decompressobj(_GZIP)
        # `deflate` means zlib's format (RFC 9110 §8.4.1.2), but some servers send the raw stream.
        has_zlib_header = chunk[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS)

    def _check_size(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise ResponseTooLargeError(
                self._host, f"the body of the response is over {self._max_bytes} bytes", sent=True
            )

    def _build_error(self, reason: str) -> ProtocolError:
        return ProtocolError(self._host, reason, sent=True)
