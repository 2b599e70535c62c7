"""Concurrent threads with real connections and transactions: `django_db(transaction=True)`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def run_concurrently(work: Callable[[int], T], count: int) -> list[T]:
    """Run `work(number)` in `count` threads that start together, each with its own connection."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        try:
            barrier.wait(timeout=30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def count_most_at_once(acquire: Callable[[], AbstractContextManager[None]], count: int) -> int:
    """Return how many of `count` threads were inside `acquire()` at once, at most."""
    inside: list[int] = []
    counts: list[int] = []

    def work(number: int) -> None:
        with acquire():
            inside.append(number)
            counts.append(len(inside))
            threading.Event().wait(0.005)
            inside.remove(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))
    return max(counts)


def wait_for_lock_wait() -> None:
    """Return as soon as a connection waits for a lock. PostgreSQL only: SQLite has no such view."""
    with connection.cursor() as cursor:
        for _ in range(1000):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("no connection waits for a lock")
