"""The connection that a caller's request came over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from credentials.proxy.disconnect_watcher import DisconnectWatcher
from credentials.proxy.headers import Environ, HeaderList
from egress.sockets import reset_connection

CALLER_TIMEOUT: Final = 120
"""Seconds that a caller may take for each piece that they send or read."""


class ErrorResponse(NamedTuple):
    status: int
    headers: HeaderList
    body: bytes


class CallerConnection(ABC):
    """One caller's connection, for the time of one request.

    `gunicorn.socket` in the environ is the socket. Without it the connection cannot be watched or
    reset, and a disconnect is noticed with the next write.
    """

    def __init__(self, environ: Environ, request_id: str, watcher: DisconnectWatcher) -> None:
        self.environ = environ
        self.request_id = request_id
        self.disconnected = False
        self._watcher = watcher
        self._socket = environ.get("gunicorn.socket")
        self._cancel: Callable[[], None] | None = None

    @property
    @abstractmethod
    def client_ip(self) -> str | None:
        """The caller's address, or None if it is not known."""

    @abstractmethod
    def error_response(self, error: Exception) -> ErrorResponse:
        """Return the response that the route of this request has for `error`."""

    def set_timeout(self) -> None:
        if self._socket is not None:
            self._socket.settimeout(CALLER_TIMEOUT)

    def watch(self) -> AbstractContextManager[None]:
        """Notice a disconnect until the block ends."""
        descriptor = None if self._socket is None else self._socket.fileno()
        return self._watcher.watch(descriptor, self._handle_disconnect)

    def cancel_on_disconnect(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` when the caller disconnects; at once if they already have.

        It replaces the function of an earlier call, and may run in another thread.
        """
        self._cancel = cancel
        if self.disconnected:
            cancel()

    def reset(self) -> None:
        """Show the caller that the response broke off."""
        # In HTTP/1.0 the end of the connection is the end of the body, so that a regular close would
        # make a broken body look complete. Later versions have a framing that shows it.
        if self._socket is not None and self.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            reset_connection(self._socket)

    def _handle_disconnect(self) -> None:
        self.disconnected = True
        if self._cancel:
            self._cancel()
