"""A WSGI application of which few requests run at once, however many wait for somebody else."""

from __future__ import annotations

import io
from typing import Any, Final

from common.api.parsers import StrictJSONParser
from common.concurrency import let_go, turns, waiting

AHEAD: Final = StrictJSONParser.limit
"""Bytes of a body that are read before the request has its turn: whatever the API takes as JSON."""


class InTurn:
    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = _received(environ)
        with turns.one():
            answer = self._application(environ, start_response)
            let_go()  # Before the turn is: whoever has it next would wait for the connection.
        return answer


def _received(environ: dict[str, Any]) -> Any:
    stream = environ["wsgi.input"]
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return stream
    if 0 < length <= AHEAD:
        return io.BytesIO(stream.read(length))
    return _Arriving(stream) if length else stream


class _Arriving:
    """A body as it comes from a client, who may be slow: no turn and no connection waits for it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        with waiting():
            found: bytes = self._stream.read(size)
        return found

    def readline(self, size: int = -1) -> bytes:
        with waiting():
            found: bytes = self._stream.readline(size)
        return found
