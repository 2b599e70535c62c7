"""A limit on the requests that a process works on at once, however many wait for a network peer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from common.api.parsers import StrictJSONParser
from common.concurrency import blocking_io, release_connection, request_slots

MAX_BUFFERED_BODY: Final = StrictJSONParser.limit
"""Bytes of a body that are read before the request gets a slot: any JSON body of the API."""


class ByteStream(Protocol):
    """The body of a WSGI request."""

    def read(self, size: int = ..., /) -> bytes: ...

    def readline(self, size: int = ..., /) -> bytes: ...


class ConcurrencyLimit:
    """A WSGI application that runs another one in a request slot (common.concurrency)."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        environ["wsgi.input"] = _buffer_body(environ)
        with request_slots.acquire():
            response = self._application(environ, start_response)
            # Before the slot: otherwise the next thread has a slot but may wait for a connection.
            release_connection()
        return response


def _buffer_body(environ: dict[str, Any]) -> ByteStream:
    """Return the body: read into memory if it is short, otherwise as it arrives."""
    stream: ByteStream = environ["wsgi.input"]
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return stream
    if 0 < length <= MAX_BUFFERED_BODY:
        return io.BytesIO(stream.read(length))
    return SlowBody(stream) if length else stream


class SlowBody:
    """A body that is read as it arrives. No slot and no connection waits for a slow client."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        with blocking_io():
            return self._stream.read(size)

    def readline(self, size: int = -1) -> bytes:
        with blocking_io():
            return self._stream.readline(size)
