"""The caller's body: small ones held, so that they can be sent twice; all others passed on in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from common.concurrency import release_connection
from common.errors import BadRequestError
from credentials.proxy.errors import ClientDisconnectedError

MAX_BUFFERED_BYTES: Final = 64 * 1024
"""Bytes. A request with more of a body, or in chunks, is not sent again after a 401."""

CHUNK_BYTES: Final = 64 * 1024


class RequestBody(NamedTuple):
    """A body for `egress`: bytes, or an iterable of `length` bytes (None: sent in chunks)."""

    content: bytes | Iterator[bytes] | None
    length: int | None

    @property
    def is_repeatable(self) -> bool:
        return self.content is None or isinstance(self.content, bytes)


def read_request_body(environ: Mapping[str, Any]) -> RequestBody:
    """The body of the request. Raises ClientGone where a held one does not come whole."""
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return RequestBody(_chunks(stream), None)
    announced = environ.get("CONTENT_LENGTH")
    if announced in {None, ""}:
        return RequestBody(None, None)
    if not (str(announced).isascii() and str(announced).isdigit()):
        raise BadRequestError("Content-Length is not a number.")
    length = int(announced)
    if length <= MAX_BUFFERED_BYTES:
        if length:
            release_connection()  # The caller may be slow, and the database's connections are few.
        return RequestBody(b"".join(_pieces(stream, length)), length)
    return RequestBody(_pieces(stream, length), length)


def _pieces(stream: Any, length: int) -> Iterator[bytes]:
    """Exactly `length` bytes; ClientGone where fewer come, so that no cut body looks whole."""
    while length:
        piece = _read(stream, min(CHUNK_BYTES, length))
        if not piece:
            raise ClientDisconnectedError("the caller's body ended early")
        length -= len(piece)
        yield piece


def _chunks(stream: Any) -> Iterator[bytes]:
    while piece := _read(stream, CHUNK_BYTES):
        yield piece


def _read(stream: Any, size: int) -> bytes:
    try:
        found: bytes = stream.read(size)
    except Exception as error:  # What a server raises for a broken body is its own.
        raise ClientDisconnectedError("the caller's body could not be read") from error
    return found
