"""The deadline of one request, which each wait of its socket applies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from egress.errors import EgressTimeoutError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of one request, in seconds and bytes.

    `connect` is for DNS, connection and TLS together, `total` for everything, `read` for each wait
    (None: as long as `total` allows). `max_body_bytes` None means no limit.
    """

    connect: float = 3.0
    total: float = 12.0
    read: float | None = None
    max_body_bytes: int | None = MIB


class Exchange:
    """A request in flight. Its time starts when it is created.

    `activate` makes it the current exchange of its thread, where its socket finds it.
    """

    def __init__(self, host: str, timeouts: Timeouts) -> None:
        self.host = host
        self.timeouts = timeouts
        self.sent = False
        self._deadline = time.monotonic() + timeouts.total
        self._connect_deadline = self._deadline
        self._interrupt: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def activate(self) -> Iterator[None]:
        # A pooled connection outlives the request that opened it, so it cannot own the deadline.
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def set_interrupt(self, interrupt: Callable[[], None]) -> None:
        """Set the function that interrupts the next wait."""
        self._interrupt = interrupt

    def cancel(self) -> None:
        """End the current wait and every later one. Another thread may call this."""
        with self._lock:
            self._deadline = self._connect_deadline = float("-inf")
            if self._interrupt:
                self._interrupt()

    def finish(self) -> None:
        """Make `cancel` do nothing from now on: the connection may serve another request."""
        with self._lock:
            self._interrupt = None

    def start_connecting(self) -> None:
        self._connect_deadline = min(self._deadline, time.monotonic() + self.timeouts.connect)

    def get_connect_timeout(self) -> float:
        """Return the seconds left for connecting. Raises EgressTimeoutError if there are none."""
        return self._get_remaining(self._connect_deadline, "no connection could be made in time")

    def get_read_timeout(self) -> float:
        """Return the seconds that a read or write may wait. Raises EgressTimeoutError if none."""
        remaining = self._get_remaining(self._deadline, "the response was not complete in time")
        return remaining if self.timeouts.read is None else min(remaining, self.timeouts.read)

    def build_timeout_error(self, reason: str) -> EgressTimeoutError:
        return EgressTimeoutError(self.host, reason, sent=self.sent)

    def _get_remaining(self, deadline: float, reason: str) -> float:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise self.build_timeout_error(reason)
        return remaining


_current: ContextVar[Exchange] = ContextVar("egress_exchange")


def get_current_exchange() -> Exchange:
    return _current.get()
