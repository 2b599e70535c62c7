"""An answer that is still coming in, and what may go wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import httpcore2

from egress.deadline import Exchange
from egress.errors import BlockedByPolicyError, EgressError, EgressTimeoutError, ProtocolError
from egress.requests import HEADER_VALUE, Headers, get_header
from egress.response_body import BodyDecoder

T = TypeVar("T")


class StreamingResponse:
    """Status and headers of an answer; iterate it once for its body, decompressed.

    The iteration raises like `send` does, so that an end without an error is the body's end.
    Where the body was decompressed, Content-Encoding and Content-Length are left out. `verbatim`:
    body and headers are as they came, but for a Content-Length beside chunks (RFC 9112 §6.3). Raises
    Broken for a header with a control character in it.
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
        self.headers = _decoded(response.headers, exchange.host)
        self._body = BodyDecoder(
            exchange.host, () if verbatim else self.headers, exchange.limits.max_body_bytes
        )
        if method != "HEAD":
            self._body.check_content_length(self.get_header("content-length"))
        if self._body.encoding:
            gone = {"content-encoding", "content-length"}
            self.headers = tuple(pair for pair in self.headers if pair[0] not in gone)

    def get_header(self, name: str) -> str | None:
        return get_header(self.headers, name)

    def __iter__(self) -> Iterator[bytes]:
        return self._body.decode(self._raw())

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"

    def _raw(self) -> Iterator[bytes]:
        chunks = self._response.iter_stream()
        while (chunk := translate_errors(self._exchange, lambda: next(chunks, None))) is not None:
            yield chunk


def release_response(response: httpcore2.Response) -> None:
    """Give the connection back, or end it where the body was not read to its end."""
    if _more_came(response):
        response.extensions["network_stream"].close()
    response.close()


def _more_came(response: httpcore2.Response) -> bool:
    """Whether the host sent more than its answer: the next request would take it for its own.

    The library keeps such bytes and offers no way to ask for them, hence the private names; a
    test watches over them.
    """
    stream: Any = response.stream
    return bool(stream._stream._connection._h11_state.trailing_data[0])


# From the narrow to the wide: the first that fits tells.
_FAILURES: Final[Mapping[type[Exception], tuple[type[EgressError], str]]] = {
    httpcore2.PoolTimeout: (EgressTimeoutError, "all connections to it stayed busy"),
    httpcore2.LocalProtocolError: (BlockedByPolicyError, "the request cannot be sent"),
    httpcore2.RemoteProtocolError: (ProtocolError, "the answer was cut short or is not HTTP/1.1"),
    httpcore2.NetworkError: (ProtocolError, "the connection broke"),
}


def translate_errors(exchange: Exchange, step: Callable[[], T]) -> T:
    """What `step` returns. What the HTTP library raises becomes one of our errors.

    Ours is raised after the `except`, not within: the library's text quotes answers and headers,
    and would be printed as the context of ours.
    """
    failure: type[Exception]
    with exchange.activate():
        try:
            return step()
        except tuple(_FAILURES) as error:
            failure = type(error)
    ours, reason = next(found for kind, found in _FAILURES.items() if issubclass(failure, kind))
    raise ours(exchange.host, reason, sent=exchange.sent)


def _decoded(headers: list[tuple[bytes, bytes]], host: str) -> Headers:
    found = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    if not all(HEADER_VALUE.fullmatch(value) for _, value in found):
        raise ProtocolError(host, "the answer has a header that is not one", sent=True)
    if any(name == "transfer-encoding" for name, _ in found):
        # Passed on, it would say another end of the body than the chunks did.
        found = [pair for pair in found if pair[0] != "content-length"]
    return tuple(found)
