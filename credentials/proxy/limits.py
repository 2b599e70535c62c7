"""Rate and concurrency limits: rates hold over all processes, concurrency in each one."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from django.db import connection

from common.concurrency import sleep
from common.db.dialect import adapt, epoch_sql, greatest_sql
from common.errors import TooManyRequestsError

DEFAULT_CONCURRENCY: Final = 256
"""Concurrent requests with one credential, in a process, if its policy has no limit."""

MAX_WAIT_SECONDS: Final = 2.0
"""A request waits at most this long for a limit. If that is not enough it is rejected with 429."""

MAX_PAUSE_SECONDS: Final = 3600
"""The longest pause that a provider can request (its Retry-After)."""

MIN_WAIT_SECONDS: Final = 0.01

_TABLE: Final = "proxy_allowance"


class Rate(NamedTuple):
    """At most `requests` in `seconds`. Each limit has its own rule for bursts."""

    requests: int
    seconds: int


class Limit(Protocol):
    """A limit of one credential that all processes share."""

    def consume(self) -> bool:
        """Count one request if the limit allows it now, and return whether it did."""

    def get_wait(self) -> float:
        """Return the seconds until the limit allows one more request."""


def consume_limits(limits: Iterable[Limit], detail: str, code: str) -> None:
    """Count one request for each limit, waiting up to MAX_WAIT_SECONDS in all.

    Raises TooManyRequestsError with Retry-After.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    for limit in limits:
        while not limit.consume():
            wait = max(limit.get_wait(), MIN_WAIT_SECONDS)
            if time.monotonic() + wait > deadline:
                raise build_too_many_error(detail, wait, code)
            sleep(wait)


def consume_rate(id: uuid.UUID, rate: Rate) -> None:
    """Count one request of a policy's rate. Waits and raises as `consume_limits` does."""
    detail = "The credential's rate limit is reached."
    consume_limits([PolicyRate(id, rate)], detail, "rate_limited")


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


class PolicyRate:
    """The generic cell rate algorithm: a burst of `requests`, then one each `seconds / requests`.

    The column `spent_until` is when all that was used is earned again.
    """

    def __init__(self, id: uuid.UUID, rate: Rate) -> None:
        self._id = adapt(id)
        self._seconds = rate.seconds
        self._step = rate.seconds / rate.requests

    def consume(self) -> bool:
        # One conditional statement decides, so any number of processes share one rate.
        spent_until = f"{greatest_sql()}({_TABLE}.spent_until, {epoch_sql()}) + %s"
        step = self._step
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {_TABLE} (credential_id, spent_until) VALUES (%s, {epoch_sql()} + %s)"  # noqa: S608
                f" ON CONFLICT (credential_id) DO UPDATE SET spent_until = {spent_until}"
                f" WHERE {spent_until} <= {epoch_sql()} + %s",
                [self._id, step, step, step, self._seconds],
            )
            return bool(cursor.rowcount)

    def get_wait(self) -> float:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT spent_until + %s - %s - {epoch_sql()} FROM {_TABLE} WHERE credential_id = %s",  # noqa: S608
                [self._step, self._seconds, self._id],
            )
            row = cursor.fetchone()
        return float(row[0]) if row else 0.0
