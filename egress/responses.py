"""Responses, their decompression within a limit, and the HTTP library's errors translated."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpcore2

from egress.deadline import Exchange
from egress.errors import (
    BlockedByPolicyError,
    EgressError,
    EgressTimeoutError,
    ProtocolError,
    ResponseTooLargeError,
)
from egress.headers import HEADER_VALUE, Headers, get_header

T = TypeVar("T")

ACCEPTED_ENCODINGS: Final = "gzip, deflate"

_GZIP: Final = 16 + zlib.MAX_WBITS
_ENCODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
_MAX_PIECE: Final = 65_536


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A whole response. Header names are lower case; `body` is decompressed."""

    status: int
    headers: Headers
    body: bytes

    def get_header(self, name: str) -> str | None:
        return get_header(self.headers, name)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class StreamingResponse:
    """Status and headers of a response; iterate over it once for its decompressed body.

    The iteration raises EgressError as `send` does: an end without an error is the end of the body.
    Content-Encoding and Content-Length are removed if the body was decompressed. With `verbatim`,
    body and headers are as the host sent them, except for a Content-Length in addition to chunks
    (RFC 9112 §6.3). Raises ProtocolError for a header with a control character.
    """

    def __init__(
        self,
        response: httpcore2.Response,
        exchange: Exchange,
        *,
        method: str,
        verbatim: bool = False,
    ) -> None:
        self._response = response
        self._exchange = exchange
        self.status = response.status
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1"))
            for name, value in response.headers
        ]
        if not all(HEADER_VALUE.fullmatch(value) for _, value in headers):
            raise ProtocolError(exchange.host, "the response has an invalid header", sent=True)
        if any(name == "transfer-encoding" for name, _ in headers):
            # The chunks decide where the body ended. Passed on, the length could say otherwise.
            headers = [pair for pair in headers if pair[0] != "content-length"]
        self.headers: Headers = tuple(headers)
        self._decoder = BodyDecoder(
            exchange.host, () if verbatim else self.headers, exchange.timeouts.max_body_bytes
        )
        if method != "HEAD":
            self._decoder.check_content_length(self.get_header("content-length"))
        if self._decoder.encoding:
            obsolete = {"content-encoding", "content-length"}
            self.headers = tuple(pair for pair in self.headers if pair[0] not in obsolete)

    def get_header(self, name: str) -> str | None:
        return get_header(self.headers, name)

    def __iter__(self) -> Iterator[bytes]:
        return self._decoder.decode(self._read_chunks())

    def __repr__(self) -> str:
        return f"<StreamingResponse {self.status}>"

    def _read_chunks(self) -> Iterator[bytes]:
        chunks = self._response.iter_stream()
        while (chunk := translate_errors(self._exchange, lambda: next(chunks, None))) is not None:
            yield chunk


def release_response(response: httpcore2.Response) -> None:
    """Return the connection to its pool, or close it if the body was not read to its end."""
    stream: Any = response.stream
    # Bytes behind this response would be read as the response to the next request. The library
    # keeps them and has no public way to ask for them, hence the private names; a test covers them.
    if stream._stream._connection._h11_state.trailing_data[0]:
        response.extensions["network_stream"].close()
    response.close()


# From the narrow to the wide: the first match counts.
_ERRORS: Final[Mapping[type[Exception], tuple[type[EgressError], str]]] = {
    httpcore2.PoolTimeout: (EgressTimeoutError, "all connections to it stayed busy"),
    httpcore2.LocalProtocolError: (BlockedByPolicyError, "the request cannot be sent"),
    httpcore2.RemoteProtocolError: (
        ProtocolError,
        "the response was cut short or is not HTTP/1.1",
    ),
    httpcore2.NetworkError: (ProtocolError, "the connection broke"),
}


def translate_errors(exchange: Exchange, step: Callable[[], T]) -> T:
    """Return what `step` returns; raise an EgressError for an error of the HTTP library."""
    error_type: type[Exception]
    with exchange.activate():
        try:
            return step()
        except tuple(_ERRORS) as error:
            error_type = type(error)
    # Raised outside of the `except`: the library's message quotes responses and headers, and would
    # be printed as the context of this error.
    translated, reason = next(_ERRORS[each] for each in _ERRORS if issubclass(error_type, each))
    raise translated(exchange.host, reason, sent=exchange.sent)


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
