"""The caller's request body. A small one is buffered so that it can be sent twice; others are streamed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO, Final, NamedTuple

from common.concurrency import release_connection
from common.errors import BadRequestError
from credentials.proxy.errors import ClientDisconnectedError
from credentials.proxy.headers import Environ

MAX_BUFFERED_BYTES: Final = 64 * 1024
"""A request with a larger body, or one in chunks, is not sent again after a 401."""

CHUNK_BYTES: Final = 64 * 1024


class RequestBody(NamedTuple):
    """A body for `egress`: bytes, or an iterable of `length` bytes (None: sent in chunks)."""

    content: bytes | Iterator[bytes] | None
    length: int | None

    @property
    def is_repeatable(self) -> bool:
        return self.content is None or isinstance(self.content, bytes)


def read_request_body(environ: Environ) -> RequestBody:
    """Return the body of the request.

    Raises ClientDisconnectedError if a body that has to be buffered is incomplete.
    """
    stream = environ["wsgi.input"]
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return RequestBody(iter(partial(_read_chunk, stream, CHUNK_BYTES), b""), None)
    content_length = environ.get("CONTENT_LENGTH")
    if content_length in {None, ""}:
        return RequestBody(None, None)
    if not (str(content_length).isascii() and str(content_length).isdigit()):
        raise BadRequestError("Content-Length is not a number.")
    length = int(content_length)
    if length > MAX_BUFFERED_BYTES:
        return RequestBody(_iterate_sized(stream, length), length)
    if length:
        # The caller may be slow, and the database's connections are few.
        release_connection()
    return RequestBody(b"".join(_iterate_sized(stream, length)), length)


def _iterate_sized(stream: IO[bytes], length: int) -> Iterator[bytes]:
    while length:
        chunk = _read_chunk(stream, min(CHUNK_BYTES, length))
        if not chunk:
            # The provider must not take an incomplete body for a complete one.
            raise ClientDisconnectedError("the caller's body ended early")
        length -= len(chunk)
        yield chunk


def _read_chunk(stream: IO[bytes], size: int) -> bytes:
    try:
        chunk: bytes = stream.read(size)
    except Exception as error:  # Each server raises its own errors for a broken body.
        raise ClientDisconnectedError("the caller's body could not be read") from error
    return chunk
