"""The database's clock: the one that all processes on all machines share."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField
from django.db.models.expressions import Func


class DbNow(Func):
    """The database's time as an expression, for inserts and conditional updates.

    PostgreSQL's `clock_timestamp()` moves within a transaction, unlike `now()`: a lease taken late
    in a long transaction still gets its whole length. Tests alone shift it: CLOCK_SHIFT_SECONDS.
    """

    arity = 0
    output_field = DateTimeField()

    def as_postgresql(
        self, compiler: Any, connection: Any, **context: Any
    ) -> tuple[str, list[Any]]:
        return now_sql("postgresql"), []

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return now_sql("sqlite").replace("%", "%%"), []


def now_sql(vendor: str, *, plus: int = 0) -> str:
    """The database's time, `plus` seconds, as SQL text: double its % in a statement with parameters."""
    seconds = _shift() + plus
    if vendor == "postgresql":
        return f"(clock_timestamp() + interval '{seconds} seconds')"
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')"


def db_now() -> dt.datetime:
    """The database's time, read once, in UTC."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            now: dt.datetime = cursor.fetchone()[0]
        else:
            cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
            now = dt.datetime.fromisoformat(cursor.fetchone()[0])
    return now.astimezone(dt.UTC) + dt.timedelta(seconds=_shift())


def to_datetime(value: Any) -> Any:
    """A time (or None) that a statement of our own text brought: SQLite has text, or no time zone."""
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if value is None or value.tzinfo is not None:
        return value
    return value.replace(tzinfo=dt.UTC)


def _shift() -> int:
    return int(getattr(settings, "CLOCK_SHIFT_SECONDS", 0))
