"""A WSGI application of which few requests run at once, however many wait for somebody else."""

from __future__ import annotations

import io
from typing import Any, Final

from common.api.parsers import StrictJSONParser
from common.concurrency import blocking_io, release_connection, request_slots

MAX_BUFFERED_BODY: Final = StrictJSONParser.limit
"""Bytes of a body that are read before the request has its turn: whatever the API takes as JSON."""


class ConcurrencyLimit:
    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = _received(environ)
        with request_slots.acquire():
            answer = self._application(environ, start_response)
            release_connection()  # Before the turn is: whoever has it next would wait for the connection.
        return answer


def _received(environ: dict[str, Any]) -> Any:
    stream = environ["wsgi.input"]
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return stream
    if 0 < length <= MAX_BUFFERED_BODY:
        return io.BytesIO(stream.read(length))
    return _Arriving(stream) if length else stream


class _Arriving:
    """A body as it comes from a client, who may be slow: no turn and no connection waits for it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        with blocking_io():
            found: bytes = self._stream.read(size)
        return found

    def readline(self, size: int = -1) -> bytes:
        with blocking_io():
            found: bytes = self._stream.readline(size)
        return found
