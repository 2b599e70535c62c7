"""The SQL that differs between PostgreSQL and SQLite.

A hand-written statement takes its differing fragments from here, so that no other module asks
which database is connected. Every fragment doubles its percent signs, for `execute(sql, params)`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from django.conf import settings
from django.db import connection

T = TypeVar("T")


def is_postgresql() -> bool:
    """Return whether the database is PostgreSQL. The only alternative is SQLite."""
    return connection.vendor == "postgresql"


def choose(*, postgresql: T, sqlite: T) -> T:
    """Return the argument named after the database."""
    return postgresql if is_postgresql() else sqlite


def execute_on_postgresql(sql: str, params: Sequence[Any] | None = None) -> None:
    """Execute a statement that SQLite does not need."""
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute(sql, params)


def fetch_on_postgresql(expression: str, params: Sequence[Any] = (), *, sqlite: T) -> T:
    """Return the value of an expression that SQLite does not have, or `sqlite` if it is connected."""
    if not is_postgresql():
        return sqlite
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}", params)
        value: T = cursor.fetchone()[0]
    return value


def now_sql(*, plus: int = 0) -> str:
    """Return the expression of the database's time, `plus` seconds from now.

    Tests alone shift it, by the setting CLOCK_SHIFT_SECONDS.
    """
    seconds = get_clock_shift() + plus
    # Unlike now(), clock_timestamp() moves within a transaction: a lease claimed late in a long
    # transaction still gets its whole length.
    return choose(
        postgresql=f"(clock_timestamp() + interval '{seconds} seconds')",
        sqlite=f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now', '{seconds} seconds')",
    )


def epoch_sql() -> str:
    """Return the expression of the database's time in seconds since 1970."""
    now = now_sql()
    return choose(
        postgresql=f"extract(epoch from {now})::float8",
        sqlite=f"((julianday({now}) - 2440587.5) * 86400.0)",
    )


def greatest_sql() -> str:
    """Return the name of the function that returns the larger of two values."""
    return choose(postgresql="GREATEST", sqlite="MAX")


def floor_sql(expression: str) -> str:
    """Return `expression`, which is not negative, rounded down to an integer."""
    return choose(
        postgresql=f"floor({expression})::bigint", sqlite=f"CAST({expression} AS INTEGER)"
    )


def lock_sql(clause: Literal["FOR KEY SHARE", "FOR NO KEY UPDATE"], *, of: str = "") -> str:
    """Return the row lock at the end of a SELECT, on the rows of the table `of` if it is given."""
    # SQLite has one writer at a time, so its transactions need no row locks.
    if not is_postgresql():
        return ""
    return f"{clause} OF {of}" if of else clause


def materialized_sql() -> str:
    """Return the keyword that makes a WITH query an optimization fence."""
    return choose(postgresql="MATERIALIZED", sqlite="")


def adapt(value: object) -> Any:
    """Return `value` as a parameter of a hand-written statement."""
    return value if is_postgresql() else to_sqlite_value(value)


def adapt_all(values: Iterable[Any]) -> list[Any]:
    """Return `values` as parameters of a hand-written statement."""
    return [adapt(value) for value in values]


def to_sqlite_value(value: object) -> Any:
    """Return `value` as Django stores it in SQLite."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def get_clock_shift() -> int:
    """Return the seconds by which a test has shifted the database's clock."""
    return int(getattr(settings, "CLOCK_SHIFT_SECONDS", 0))
