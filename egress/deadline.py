"""One request's time, and whether it has left. The socket asks this before each wait."""

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
    """Seconds and bytes. A refresh lease (20 s) must outlive `total`, so raise it for streams only.

    `connect` is for name, connection and TLS together; `total` for everything; `idle` for each
    wait within (None: as long as `total` lets it). `max_bytes` None: no limit, for streams.
    """

    connect: float = 3.0
    total: float = 12.0
    read: float | None = None
    max_body_bytes: int | None = MIB


class Exchange:
    """A request under way. It starts when made; it is `current` while its thread works for it."""

    def __init__(self, host: str, limits: Timeouts) -> None:
        self.host = host
        self.limits = limits
        self.sent = False
        self._ends = time.monotonic() + limits.total
        self._connected_by = self._ends
        self._hang_up: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Let sockets find this exchange: a kept connection outlives the request that opened it."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def set_interrupt(self, hang_up: Callable[[], None]) -> None:
        """Say how to interrupt the wait that comes next."""
        self._hang_up = hang_up

    def cancel(self) -> None:
        """Called by another thread: no wait begins any more, and the one under way ends."""
        with self._lock:
            self._ends = self._connected_by = float("-inf")
            if self._hang_up:
                self._hang_up()

    def finish(self) -> None:
        """From here on `end` does nothing: the connection may be another request's."""
        with self._lock:
            self._hang_up = None

    def start_connecting(self) -> None:
        self._connected_by = min(self._ends, time.monotonic() + self.limits.connect)

    def get_connect_timeout(self) -> float:
        """Seconds left to connect in; raises TooSlow when there are none."""
        return self._until(self._connected_by, "no connection could be made in time")

    def get_read_timeout(self) -> float:
        """Seconds that the next read or write may wait; raises TooSlow when there are none."""
        left = self._until(self._ends, "the answer was not complete in time")
        return left if self.limits.read is None else min(left, self.limits.read)

    def build_timeout_error(self, reason: str) -> EgressTimeoutError:
        return EgressTimeoutError(self.host, reason, sent=self.sent)

    def _until(self, moment: float, reason: str) -> float:
        left = moment - time.monotonic()
        if left <= 0:
            raise self.build_timeout_error(reason)
        return left


_current: ContextVar[Exchange] = ContextVar("egress_exchange")


def get_current_exchange() -> Exchange:
    return _current.get()
