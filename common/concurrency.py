"""Request slots, which a thread yields together with its connection while it waits for a provider.

Python runs one thread at a time, so a few concurrent requests keep a process busy. Requests that
wait for a provider, or for the body of a slow client, must not block the others.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from django.conf import settings
from django.db import connection

from common.errors import ServiceUnavailableError


def release_connection() -> None:
    """Return this thread's database connection to the pool."""
    # In a test, the connection belongs to the block that the test itself opened.
    if not connection.in_atomic_block:
        connection.close()


@contextmanager
def blocking_io() -> Iterator[None]:
    """Release the connection and yield the request slot during the block, which waits for a peer."""
    release_connection()
    with request_slots.yield_slot():
        yield


def sleep(seconds: float) -> None:
    """Sleep without a connection and without a request slot."""
    with blocking_io():
        time.sleep(seconds)


def has_capacity() -> bool:
    """Return True if one more request may wait. Call it before the work that makes it wait."""
    return request_slots.yielded_count < MAX_BLOCKED


def require_capacity() -> None:
    """Raise ServiceUnavailableError if too many requests wait for providers to start another."""
    if not has_capacity():
        raise ServiceUnavailableError(
            "Too many requests are waiting for providers. Try again.",
            extra={"code": "overloaded"},
            retry_after=1,
        )


class RequestSlots:
    """A semaphore that limits how many threads of this process work on requests at once."""

    def __init__(self, count: int) -> None:
        # Each request acquires a slot, and SimpleQueue is faster: it is C, threading.Semaphore is not.
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._current_thread = threading.local()
        self._lock = threading.Lock()
        self.yielded_count = 0
        """Threads that have yielded their slot and are waiting."""
        for _ in range(count):
            self._free.put(None)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for a slot and keep it until the block ends."""
        self._free.get()
        self._current_thread.has_slot = True
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def acquire_again(self) -> Iterator[None]:
        """Acquire a slot for work on a response that is sent already, unless the thread has one.

        The thread's connection is released at the end.
        """
        if getattr(self._current_thread, "has_slot", False):
            yield
            return
        with self.acquire():
            yield
            release_connection()

    @contextmanager
    def yield_slot(self) -> Iterator[None]:
        """Let another thread use this thread's slot during the block.

        Does nothing in a thread without a slot.
        """
        if not getattr(self._current_thread, "has_slot", False):
            yield
            return
        self._release()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)
            # Continue at once, even without a slot: a provider's response must be stored before
            # new requests are started.
            with suppress(queue.Empty):
                self._free.get_nowait()
                self._current_thread.has_slot = True

    def _release(self) -> None:
        if self._current_thread.has_slot:
            self._current_thread.has_slot = False
            self._free.put(None)

    def _count(self, change: int) -> None:
        with self._lock:
            self.yielded_count += change


request_slots: Final = RequestSlots(settings.REQUEST_SLOTS)
"""Slots of the API server. Threads that handle no request have no slot and need none."""

MAX_BLOCKED: Final = settings.BLOCKING_THREADS * 3 // 4
"""Requests that may wait concurrently. The other threads stay free for requests that do not wait."""
