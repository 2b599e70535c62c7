"""Noticing that a caller disconnected while the provider sends nothing: one thread for all callers.

It needs Linux (EPOLLRDHUP). On other systems a disconnect is noticed when the next piece of the
response is written.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class DisconnectWatcher:
    """Calls a function, in its own thread, when the other side of a connection is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._epoll: select.epoll | None = None

    @contextmanager
    def watch(self, descriptor: int | None, on_disconnect: Callable[[], None]) -> Iterator[None]:
        """Call `on_disconnect` once if the connection ends before the block does.

        Without a descriptor there is nothing to watch.
        """
        if descriptor is None or not hasattr(select, "epoll"):
            yield
            return
        self._add(descriptor, on_disconnect)
        try:
            yield
        finally:
            self._remove(descriptor, on_disconnect)

    def _add(self, descriptor: int, on_disconnect: Callable[[], None]) -> None:
        with self._lock:
            if self._epoll is None:
                self._epoll = select.epoll()
                threading.Thread(target=self._run, args=(self._epoll,), daemon=True).start()
            self._callbacks[descriptor] = on_disconnect
            self._epoll.register(descriptor, select.EPOLLRDHUP | select.EPOLLONESHOT)

    def _remove(self, descriptor: int, on_disconnect: Callable[[], None]) -> None:
        with self._lock:
            # The system may have given the number of a closed connection to another one.
            if self._epoll and self._callbacks.get(descriptor) is on_disconnect:
                del self._callbacks[descriptor]
                # A closed descriptor is no longer registered.
                with suppress(OSError, ValueError):
                    self._epoll.unregister(descriptor)

    def _run(self, epoll: select.epoll) -> None:
        while True:
            for descriptor, _ in epoll.poll():
                self._handle_event(descriptor)

    def _handle_event(self, descriptor: int) -> None:
        poll = select.poll()
        with self._lock:
            callback = self._callbacks.get(descriptor)
            if callback is None:
                return
            # The event may be of an earlier connection with this number, so ask about this one.
            poll.register(descriptor, select.POLLRDHUP)
            if not poll.poll(0):
                return
        callback()
