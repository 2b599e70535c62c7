"""Rate and concurrency limits: rates hold over all processes, concurrency in each one."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from django.db import connection

from common.concurrency import sleep
from common.db.dialect import adapt, epoch_sql, greatest_sql
from common.errors import TooManyRequestsError

DEFAULT_CONCURRENCY: Final = 256
"""Concurrent requests with one credential, in a process, if its policy has no limit."""

MAX_WAIT_SECONDS: Final = 2.0
"""A request waits at most this long for a limit. If that is not enough it is rejected with 429."""

MAX_PAUSE_SECONDS: Final = 3600
"""The longest pause that a provider can ask for (its Retry-After)."""

MIN_WAIT_SECONDS: Final = 0.01

_TABLE: Final = "proxy_allowance"


class Rate(NamedTuple):
    """A burst of `requests`, and then one request each `seconds / requests` seconds."""

    requests: int
    seconds: int


def consume_rate(id: uuid.UUID, rate: Rate) -> None:
    """Count one request, waiting up to MAX_WAIT_SECONDS until the rate allows it.

    Raises TooManyRequestsError with Retry-After.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not _consume(id, rate):
        wait = _get_wait(id, rate)
        if time.monotonic() + wait > deadline:
            raise build_too_many_error(
                "The credential's rate limit is reached.", wait, "rate_limited"
            )
        sleep(wait)


def pause_credential(id: uuid.UUID, seconds: float) -> None:
    """Send nothing with this credential for `seconds`, in any process.

    A shorter pause does not end a longer one that another response requested.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} (credential_id, held_until) VALUES (%s, {epoch_sql()} + %s)"  # noqa: S608
            f" ON CONFLICT (credential_id) DO UPDATE"
            f" SET held_until = {greatest_sql()}({_TABLE}.held_until, excluded.held_until)",
            [adapt(id), seconds],
        )


def wait_for_pause(seconds: float) -> None:
    """Wait until the pause ends. Raises TooManyRequestsError if that takes too long."""
    if seconds > MAX_WAIT_SECONDS:
        raise build_too_many_error(
            "The provider requested a pause (Retry-After).",
            seconds,
            "provider_rate_limited",
        )
    if seconds > 0:
        sleep(seconds)


def build_too_many_error(detail: str, seconds: float, code: str) -> TooManyRequestsError:
    return TooManyRequestsError(
        detail, retry_after=max(1, math.ceil(seconds)), extra={"code": code}
    )


class ConcurrencySlots:
    """The requests in progress in this process, by credential."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: Counter[uuid.UUID] = Counter()

    @contextmanager
    def acquire(self, id: uuid.UUID, limit: int | None) -> Iterator[None]:
        """Occupy a slot until the block ends. Raises TooManyRequestsError if none is free."""
        with self._lock:
            if self._used[id] >= (DEFAULT_CONCURRENCY if limit is None else limit):
                raise build_too_many_error(
                    "Too many concurrent requests with this credential.", 1, "too_many"
                )
            self._used[id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used[id] -= 1
                # The counter must not grow with every credential that was ever used.
                if not self._used[id]:
                    del self._used[id]


def _consume(id: uuid.UUID, rate: Rate) -> bool:
    """Count one request if the rate allows it now, and return whether it did.

    This is the generic cell rate algorithm. `spent_until` is when all that was used is earned again.
    """
    step = rate.seconds / rate.requests
    # One conditional statement decides, so any number of processes share one rate.
    spent_until = f"{greatest_sql()}({_TABLE}.spent_until, {epoch_sql()}) + %s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} (credential_id, spent_until) VALUES (%s, {epoch_sql()} + %s)"  # noqa: S608
            f" ON CONFLICT (credential_id) DO UPDATE SET spent_until = {spent_until}"
            f" WHERE {spent_until} <= {epoch_sql()} + %s",
            [adapt(id), step, step, step, rate.seconds],
        )
        return bool(cursor.rowcount)


def _get_wait(id: uuid.UUID, rate: Rate) -> float:
    """Return the seconds until the rate allows one more request."""
    step = rate.seconds / rate.requests
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT spent_until + %s - %s - {epoch_sql()} FROM {_TABLE} WHERE credential_id = %s",  # noqa: S608
            [step, rate.seconds, adapt(id)],
        )
        row = cursor.fetchone()
    return max(float(row[0]) if row else 0.0, MIN_WAIT_SECONDS)
