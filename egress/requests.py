"""Requests, and their method, headers and body as they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from egress.errors import BlockedByPolicyError
from egress.headers import HEADER_VALUE, TOKEN, Headers
from egress.urls import Url

# A caller that sets one of these decides where the message ends (RFC 9112 §6), how the response is
# encoded, or which host the request is for.
_RESERVED_HEADERS: Final = frozenset(
    {"host", "accept-encoding", "content-length", "transfer-encoding", "te", "trailer", "expect"}
    | {"connection", "keep-alive", "upgrade"}
    | {"proxy-authenticate", "proxy-authorization", "proxy-connection"}
)
_BLOCKED_METHODS: Final = frozenset({"CONNECT", "TRACE"})
_METHODS_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Request:
    """One request. A `body` that is an iterable is sent in chunks, or as `length` bytes.

    `repr` shows no value: URL, headers and body may contain secrets.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes | Iterable[bytes] | None = None
    length: int | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method}>"


def validate_method(request: Request, url: Url) -> str:
    if not TOKEN.fullmatch(request.method) or request.method.upper() in _BLOCKED_METHODS:
        raise BlockedByPolicyError(url.host, "the method may not be sent")
    return request.method


def build_headers(request: Request, url: Url, *, encodings: str) -> list[tuple[bytes, bytes]]:
    """Return all headers of `request`, those of this client first.

    Raises BlockedByPolicyError, which names the header but never its value.
    """
    headers = [("Host", url.authority), ("Accept-Encoding", encodings)]
    body = request.body
    if isinstance(body, bytes):
        headers.append(("Content-Length", str(len(body))))
    elif body is not None and request.length is None:
        headers.append(("Transfer-Encoding", "chunked"))
    elif body is not None:
        headers.append(("Content-Length", str(request.length)))
    elif request.method not in _METHODS_WITHOUT_BODY:
        headers.append(("Content-Length", "0"))
    if all(name.lower() != "user-agent" for name, _ in request.headers):
        headers.append(("User-Agent", "Latchkey"))  # Some APIs reject requests without one.
    for name, value in request.headers:
        if not TOKEN.fullmatch(name):
            raise BlockedByPolicyError(url.host, "the name of a header is not valid")
        if name.lower() in _RESERVED_HEADERS:
            raise BlockedByPolicyError(url.host, f"the header {name} may not be set by the caller")
        if not HEADER_VALUE.fullmatch(value) or value != value.strip(" \t"):
            raise BlockedByPolicyError(
                url.host, f"the header {name} has a value that cannot be sent"
            )
        headers.append((name, value))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


def build_body(request: Request, url: Url) -> bytes | Iterable[bytes]:
    body = request.body or b""
    if isinstance(body, bytes) or request.length is None:
        return body
    return _limit_to_length(body, request.length, url)


def _limit_to_length(chunks: Iterable[bytes], length: int, url: Url) -> Iterator[bytes]:
    """Yield `chunks`. Raise BlockedByPolicyError, before the last, if they are not `length` bytes.

    The host would read surplus bytes as another request, so the last chunk is sent only when it is
    known that none follows.
    """
    non_empty, chunk = filter(None, chunks), b""
    while length and (chunk := next(non_empty, b"")):
        length -= len(chunk)
        if length > 0:
            yield chunk
    if length or next(non_empty, b""):
        raise BlockedByPolicyError(
            url.host, "the body does not have the announced length", sent=True
        )
    yield chunk
