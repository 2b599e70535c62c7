"""The database's clock, which all processes on all machines share."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.db import connection
from django.db.models import DateTimeField
from django.db.models.expressions import Func

from common.db import dialect


class DbNow(Func):
    """The database's time as an expression, for inserts and conditional updates."""

    arity = 0
    output_field = DateTimeField()

    def as_postgresql(
        self, compiler: object, connection: object, **context: Any
    ) -> tuple[str, list[Any]]:
        return dialect.now_sql(), []

    def as_sqlite(self, compiler: object, connection: object, **context: Any) -> Any:
        return dialect.now_sql(), []


def db_now() -> dt.datetime:
    """Return the database's time in UTC, read by one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            dialect.choose(
                postgresql="SELECT clock_timestamp()",
                sqlite="SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
            )
        )
        now: dt.datetime = to_datetime(cursor.fetchone()[0])
    return now.astimezone(dt.UTC) + dt.timedelta(seconds=dialect.get_clock_shift())


def measure_clock_difference() -> float:
    """Return by how many seconds this process's clock is ahead of the database's, or behind if < 0."""
    before = time.time()
    now = db_now().timestamp()
    # The statement takes some time: the database read its clock somewhere in between.
    return (before + time.time()) / 2 - now


def to_datetime(value: Any) -> Any:
    """Return the datetime (or None) that a hand-written statement read."""
    # SQLite returns text, or a datetime without a time zone.
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if value is None or value.tzinfo is not None:
        return value
    return value.replace(tzinfo=dt.UTC)
