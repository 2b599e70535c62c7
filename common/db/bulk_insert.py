"""Many rows in one statement, on both databases: what bulk import needs and the ORM is slow at."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.db import connection
from django.db.models.expressions import RawSQL


def insert_rows(
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
    *,
    suffix: str = "",
) -> list[tuple[Any, ...]]:
    """Insert `rows`; `columns` maps each column to its PostgreSQL type, in the rows' order.

    `then` is the tail of the statement (ON CONFLICT …, RETURNING …); what it returns is returned.
    Names and `then` come from our code, never from a caller. JSON is passed as text. On SQLite,
    rows times columns must stay below 32,766 (its limit of parameters).
    """
    if not rows:
        return []
    build = _postgresql if connection.vendor == "postgresql" else _sqlite
    sql, params = build(table, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} {suffix}", params)
        return cursor.fetchall() if "RETURNING" in suffix else []


def as_array(values: Sequence[bytes]) -> Any:
    """`values` for an `__in` filter: one array on PostgreSQL, which then looks each up in the index.

    A list of a thousand parameters it would compare with every row of the account instead.
    """
    if connection.vendor == "postgresql":
        return RawSQL("SELECT unnest(%s::bytea[])", [list(values)])
    return values


def _postgresql(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> tuple[str, list[Any]]:
    """One JSON document for all rows: arrays, or a placeholder for each value, take twice as long."""
    writers = [(name, _WRITERS.get(kind, _as_it_is)) for name, kind in columns.items()]
    records = [
        {
            name: None if value is None else write(value)
            for (name, write), value in zip(writers, row, strict=True)
        }
        for row in rows
    ]
    names = ", ".join(columns)
    typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    # WHERE true: without it, SQL could read a following ON CONFLICT as a join's ON.
    sql = (
        f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608 - our names alone
        f" FROM json_to_recordset(%s::json) AS given({typed}) WHERE true"
    )
    return sql, [orjson.dumps(records).decode()]


def _as_it_is(value: Any) -> Any:
    return value


_WRITERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "bytea": lambda value: "\\x" + value.hex(),
    "jsonb": orjson.Fragment,
}


def _sqlite(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> tuple[str, list[Any]]:
    one = f"({', '.join(['%s'] * len(columns))})"
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(rows))}"  # noqa: S608
    return sql, [to_sqlite_value(value) for row in rows for value in row]


def to_sqlite_value(value: Any) -> Any:
    """`value` as Django stores it in SQLite."""
    if isinstance(value, uuid.UUID):
        return value.hex
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value
