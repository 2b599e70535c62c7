"""Noticing that a caller went away while their provider is silent: one thread for all of them.

Linux tells of it (EPOLLRDHUP); elsewhere it is noticed with the next piece of the answer.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class DisconnectWatcher:
    """Calls back, from its own thread, when the other side of a connection is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone: dict[int, Callable[[], None]] = {}
        self._epoll: select.epoll | None = None

    @contextmanager
    def watch(self, descriptor: int | None, gone: Callable[[], None]) -> Iterator[None]:
        """Until the block ends, call `gone` once if the connection ends. None: there is none."""
        if descriptor is None or not hasattr(select, "epoll"):
            yield
            return
        self._add(descriptor, gone)
        try:
            yield
        finally:
            self._remove(descriptor, gone)

    def _add(self, descriptor: int, gone: Callable[[], None]) -> None:
        with self._lock:
            if self._epoll is None:
                self._epoll = select.epoll()
                threading.Thread(target=self._work, args=(self._epoll,), daemon=True).start()
            self._gone[descriptor] = gone
            self._epoll.register(descriptor, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def _remove(self, descriptor: int, gone: Callable[[], None]) -> None:
        with self._lock:
            # Once a connection is closed, its number may already be another's.
            if self._epoll and self._gone.get(descriptor) is gone:
                del self._gone[descriptor]
                with suppress(OSError, ValueError):  # The connection was closed meanwhile.
                    self._epoll.unregister(descriptor)

    def _work(self, epoll: select.epoll) -> None:
        while True:
            for descriptor, _ in epoll.poll():
                self._told(descriptor)

    def _told(self, descriptor: int) -> None:
        with self._lock:
            # What was told may be of an earlier connection, whose number another has by now.
            gone = self._gone.get(descriptor) if _has_ended(descriptor) else None
        if gone:
            gone()


def _has_ended(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return bool(poll.poll(0))
