"""What is sent, and what comes back. Neither shows a value when it is printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from egress.errors import BlockedByPolicyError
from egress.urls import Url

Headers = Sequence[tuple[str, str]]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Who else writes these decides where a message ends (RFC 9112 §6), what its answer is, or which host it is for.
_OURS: Final = frozenset(
    {"host", "accept-encoding", "content-length", "transfer-encoding", "te", "trailer", "expect"}
    | {"connection", "keep-alive", "upgrade"}
    | {"proxy-authenticate", "proxy-authorization", "proxy-connection"}
)
_METHODS_REFUSED: Final = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Request:
    """One request. `body` may be an iterable of bytes: sent in chunks, or as `length` bytes."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes | Iterable[bytes] | None = None
    length: int | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method}>"


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """An answer, whole. Header names are lower case; `body` is decompressed."""

    status: int
    headers: Headers
    body: bytes

    def get_header(self, name: str) -> str | None:
        return get_header(self.headers, name)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def get_header(headers: Headers, name: str) -> str | None:
    """The value of a header, several joined with commas (RFC 9110 §5.3), or None."""
    values = [value for each, value in headers if each == name.lower()]
    return ", ".join(values) if values else None


def validate_method(request: Request, url: Url) -> str:
    if not _TOKEN.fullmatch(request.method) or request.method.upper() in _METHODS_REFUSED:
        raise BlockedByPolicyError(url.host, "the method may not be sent")
    return request.method


def build_headers(request: Request, url: Url, *, encodings: str) -> list[tuple[bytes, bytes]]:
    """All headers of `request`, ours first; Refused names one that may not be sent, never a value."""
    given = [_checked(name, value, url) for name, value in request.headers]
    ours = [("Host", url.authority), ("Accept-Encoding", encodings), *_framing(request)]
    if all(name.lower() != "user-agent" for name, _ in given):
        ours.append(("User-Agent", "Latchkey"))  # Some APIs refuse requests without one.
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in [*ours, *given]]


def build_body(request: Request, url: Url) -> bytes | Iterable[bytes]:
    body = request.body or b""
    if isinstance(body, bytes) or request.length is None:
        return body
    return _held(body, request.length, url)


def _checked(name: str, value: str, url: Url) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise BlockedByPolicyError(url.host, "a header's name is not one")
    if name.lower() in _OURS:
        raise BlockedByPolicyError(url.host, f"the header {name} is not the caller's to set")
    if not HEADER_VALUE.fullmatch(value) or value != value.strip(" \t"):
        raise BlockedByPolicyError(url.host, f"the header {name} has a value that cannot be sent")
    return name, value


def _framing(request: Request) -> list[tuple[str, str]]:
    body = request.body
    if body is None and request.method in {"GET", "HEAD", "OPTIONS", "DELETE"}:
        return []
    if body is None or isinstance(body, bytes):
        return [("Content-Length", str(len(body or b"")))]
    if request.length is not None:
        return [("Content-Length", str(request.length))]
    return [("Transfer-Encoding", "chunked")]


def _held(chunks: Iterable[bytes], length: int, url: Url) -> Iterator[bytes]:
    """`chunks` if they are `length` bytes in all, else Refused before the host has had so many.

    Bytes too many would be read as another request, so the last waits until nothing follows it.
    """
    rest, chunk = filter(None, chunks), b""
    while length and (chunk := next(rest, b"")):
        length -= len(chunk)
        if length > 0:
            yield chunk
    if length or next(rest, b""):
        raise BlockedByPolicyError(url.host, "the body is not as long as was announced", sent=True)
    yield chunk
