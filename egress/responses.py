"""Responses, and the translation of the HTTP library's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpcore2

from egress.deadline import Exchange
from egress.errors import BlockedByPolicyError, EgressError, EgressTimeoutError, ProtocolError
from egress.headers import HEADER_VALUE, Headers, get_header
from egress.response_body import BodyDecoder

T = TypeVar("T")


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
