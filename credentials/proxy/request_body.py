"""The caller's body: small ones held, so that they can be sent twice; all others passed on in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from common.concurrency import let_go
from common.errors import BadRequest
from credentials.proxy.errors import ClientGone

HELD: Final = 64 * 1024
"""Bytes. A request with more of a body, or in chunks, is not sent again after a 401."""

PIECE: Final = 64 * 1024


class Upload(NamedTuple):
    """A body for `egress`: bytes, or an iterable of `length` bytes (None: sent in chunks)."""

    body: bytes | Iterator[bytes] | None
    length: int | None

    @property
    def repeatable(self) -> bool:
        return self.body is None or isinstance(self.body, bytes)


def upload(environ: Mapping[str, Any]) -> Upload:
    """The body of the request. Raises ClientGone where a held one does not come whole."""
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return Upload(_chunks(stream), None)
    announced = environ.get("CONTENT_LENGTH")
    if announced in {None, ""}:
        return Upload(None, None)
    if not (str(announced).isascii() and str(announced).isdigit()):
        raise BadRequest("Content-Length is not a number.")
    length = int(announced)
    if length <= HELD:
        if length:
            let_go()  # The caller may be slow, and the database's connections are few.
        return Upload(b"".join(_pieces(stream, length)), length)
    return Upload(_pieces(stream, length), length)


def _pieces(stream: Any, length: int) -> Iterator[bytes]:
    """Exactly `length` bytes; ClientGone where fewer come, so that no cut body looks whole."""
    while length:
        piece = _read(stream, min(PIECE, length))
        if not piece:
            raise ClientGone("the caller's body ended early")
        length -= len(piece)
        yield piece


def _chunks(stream: Any) -> Iterator[bytes]:
    while piece := _read(stream, PIECE):
        yield piece


def _read(stream: Any, size: int) -> bytes:
    try:
        found: bytes = stream.read(size)
    except Exception as error:  # What a server raises for a broken body is its own.
        raise ClientGone("the caller's body could not be read") from error
    return found
