"""Waiting for somebody else: without a connection to the database, and without a turn.

Python runs one thread at a time, so more requests at once than a few only get in each other's way;
but any number may wait for a provider, or for a slow client's body, without keeping others out.
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
    """Give the connection back, so that whoever has work for it gets it; a test's own block stays."""
    if not connection.in_atomic_block:
        connection.close()


@contextmanager
def blocking_io() -> Iterator[None]:
    """Hold neither a connection nor a turn while the block waits for somebody else."""
    release_connection()
    with request_slots.yielded():
        yield


def sleep(seconds: float) -> None:
    with blocking_io():
        time.sleep(seconds)


def has_capacity() -> bool:
    """Whether one more may wait; to be asked before it begins what it would have to wait for."""
    return request_slots.yielded_count < MAX_BLOCKED


def require_capacity() -> None:
    """Raise Unavailable where so many requests wait that few could do anything else."""
    if not has_capacity():
        raise ServiceUnavailableError(
            "Too many requests are waiting for providers. Try again.",
            extra={"code": "crowded"},
            retry_after=1,
        )


class RequestSlots:
    """So many threads of this process at once, of those that ask."""

    def __init__(self, count: int) -> None:
        # A queue's get and put are one call each into C; threading.Semaphore is Python.
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._mine = threading.local()
        self._lock = threading.Lock()
        self.yielded_count = 0
        """How many threads have lent theirs at the moment."""
        for _ in range(count):
            self._free.put(None)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends."""
        self._free.get()
        self._mine.held = True
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def yielded(self) -> Iterator[None]:
        """Let another thread have this one's turn during the block. Nothing where it has none.

        Afterwards it goes on at once, if need be without a turn: what a provider has answered is
        written down before anything new begins.
        """
        if not getattr(self._mine, "held", False):
            yield
            return
        self._give()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)
            with suppress(queue.Empty):
                self._free.get_nowait()
                self._mine.held = True

    def _give(self) -> None:
        if self._mine.held:
            self._mine.held = False
            self._free.put(None)

    def _count(self, by: int) -> None:
        with self._lock:
            self.yielded_count += by


request_slots: Final = RequestSlots(settings.TURNS)
"""Those of the requests that the API's server has. Other threads have none, and need none."""

MAX_BLOCKED: Final = settings.BLOCKING_THREADS * 3 // 4
