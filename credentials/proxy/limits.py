"""How often and how many at once: rates over all processes by the database, slots in each by itself."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from django.db import connection

from common.concurrency import sleep
from common.db.dialect import adapt, epoch_sql, greatest_sql
from common.errors import TooManyRequestsError

DEFAULT_CONCURRENCY: Final = 256
"""Requests with one credential at once, in a process, where its policy does not say."""

MAX_WAIT_SECONDS: Final = 2.0
"""Seconds that a request waits for its turn; for more it is answered 429 instead."""

MAX_PAUSE_SECONDS: Final = 3600
"""Seconds for which the longest pause that a provider asks for is kept to."""

_TABLE: Final = "proxy_allowance"


class Rate(NamedTuple):
    """`requests` at once, and then one each `seconds / requests`."""

    requests: int
    seconds: int


def consume_rate(id: uuid.UUID, rate: Rate) -> None:
    """Count one request, waiting up to PATIENCE for its turn. Raises TooMany with Retry-After.

    One conditional UPDATE decides, so any number of processes on any machines keep to one rate.
    """
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not _taken(id, rate):
        wait = _wait(id, rate)
        if time.monotonic() + wait > until:
            raise build_too_many_error(
                "The credential's rate limit is reached.", wait, "rate_limited"
            )
        sleep(wait)


def pause_credential(id: uuid.UUID, seconds: float) -> None:
    """Let nothing be sent with this credential for so long: its provider said so.

    Of several pauses, asked for in answers that came at once, the one that ends last holds.
    """
    sql = (
        f"INSERT INTO {_TABLE} (credential_id, held_until) VALUES (%s, {epoch_sql()} + %s)"  # noqa: S608
        f" ON CONFLICT (credential_id) DO UPDATE"
        f" SET held_until = {greatest_sql()}({_TABLE}.held_until, excluded.held_until)"
    )
    _execute(sql, [adapt(id), seconds])


def wait_for_pause(seconds: float) -> None:
    """Wait until the provider may be asked again; TooMany where that is longer than PATIENCE."""
    if seconds > MAX_WAIT_SECONDS:
        detail = "The provider has asked for a pause (its Retry-After)."
        raise build_too_many_error(detail, seconds, "provider_rate_limited")
    if seconds > 0:
        sleep(seconds)


def build_too_many_error(detail: str, seconds: float, code: str) -> TooManyRequestsError:
    return TooManyRequestsError(
        detail, retry_after=max(1, int(-(-seconds // 1))), extra={"code": code}
    )


class ConcurrencySlots:
    """Requests under way in this process, by credential."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: Counter[uuid.UUID] = Counter()

    @contextmanager
    def acquire(self, id: uuid.UUID, limit: int | None) -> Iterator[None]:
        """A slot until the block ends. Raises TooMany where all are taken."""
        with self._lock:
            if self._used[id] >= (DEFAULT_CONCURRENCY if limit is None else limit):
                raise build_too_many_error(
                    "Too many requests with this credential at once.", 1, "too_many"
                )
            self._used[id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used[id] -= 1
                if not self._used[id]:
                    del self._used[id]


def _taken(id: uuid.UUID, rate: Rate) -> bool:
    """The generic cell rate algorithm, in one statement."""
    spent = f"{greatest_sql()}({_TABLE}.spent_until, {epoch_sql()}) + %s"
    sql = (
        f"INSERT INTO {_TABLE} (credential_id, spent_until) VALUES (%s, {epoch_sql()} + %s)"  # noqa: S608
        f" ON CONFLICT (credential_id) DO UPDATE SET spent_until = {spent}"
        f" WHERE {spent} <= {epoch_sql()} + %s"
    )
    step = rate.seconds / rate.requests
    return bool(_execute(sql, [adapt(id), step, step, step, rate.seconds]))


def _wait(id: uuid.UUID, rate: Rate) -> float:
    step = rate.seconds / rate.requests
    sql = f"SELECT spent_until + %s - %s - {epoch_sql()} FROM {_TABLE} WHERE credential_id = %s"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [step, rate.seconds, adapt(id)])
        row = cursor.fetchone()
    return max(float(row[0]) if row else 0.0, 0.01)


def _execute(sql: str, params: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)
