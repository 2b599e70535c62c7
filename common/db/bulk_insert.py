"""Inserts and look-ups of many rows by one statement, for imports, where the ORM is too slow."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.db import connection

from common.db import dialect


def insert_rows(
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
    *,
    suffix: str = "",
    numbered: str = "",
) -> list[tuple[Any, ...]]:
    """Insert `rows` and return what a RETURNING clause in `suffix` returns.

    `columns` maps each column to its PostgreSQL type, in the order of the values. JSON values are
    text. `suffix` ends the statement (ON CONFLICT …, RETURNING …). `numbered` is a further column,
    whose default PostgreSQL takes from a sequence. Names and `suffix` must come from our code, never
    from a caller. On SQLite, rows times columns must stay below 32,766, its limit of parameters.
    """
    if not rows:
        return []
    build = dialect.choose(postgresql=_build_postgresql_insert, sqlite=_build_sqlite_insert)
    sql, params = build(table, columns, rows, numbered)
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} {suffix}", params)
        return cursor.fetchall() if "RETURNING" in suffix else []


def fetch_matching(
    select: str,
    account_id: uuid.UUID,
    column: str,
    values: Sequence[bytes] | Sequence[uuid.UUID],
    *,
    account: str = "account_id",
    suffix: str = "",
) -> list[tuple[Any, ...]]:
    """Return the rows of an account whose `column` is one of `values`, which are not empty.

    `select` is the statement up to its WHERE, `account` the column of the account, and `suffix` what
    follows the WHERE. For look-ups that the ORM would build again for each request.
    """
    condition, params = _match_any(values)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{select} WHERE {account} = %s AND {column} {condition} {suffix}",
            [dialect.adapt(account_id), *params],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _match_any(values: Sequence[bytes] | Sequence[uuid.UUID]) -> tuple[str, list[Any]]:
    """Return the condition after the name of a column, and its parameters."""
    if len(values) == 1:
        return "= %s", dialect.adapt_all(values)
    if not dialect.is_postgresql():
        return f"IN ({', '.join(['%s'] * len(values))})", dialect.adapt_all(values)
    # PostgreSQL looks each element of one array up in the index. A list of a thousand parameters
    # it would compare with every row of the account. As one text it needs no escape per element.
    if isinstance(values[0], uuid.UUID):
        return "IN (SELECT unnest(string_to_array(%s, ',')::uuid[]))", [",".join(map(str, values))]
    joined = ",".join(value.hex() for value in values if isinstance(value, bytes))
    return "IN (SELECT decode(unnest(string_to_array(%s, ',')), 'hex'))", [joined]


def _build_postgresql_insert(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], _numbered: str
) -> tuple[str, list[Any]]:
    # One JSON document for all rows takes half the time of arrays or of a placeholder per value.
    writers = [(name, _JSON_WRITERS.get(kind)) for name, kind in columns.items()]
    records = [
        {
            name: value if write is None or value is None else write(value)
            for (name, write), value in zip(writers, row, strict=True)
        }
        for row in rows
    ]
    names = ", ".join(columns)
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    # WHERE true: without it, SQL could read a following ON CONFLICT as a join's ON.
    sql = (
        f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608 - our names alone
        f" FROM json_to_recordset(%s::json) AS given({types}) WHERE true"
    )
    return sql, [orjson.dumps(records).decode()]


_JSON_WRITERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "bytea": lambda value: "\\x" + value.hex(),
    "jsonb": orjson.Fragment,
}


def _build_sqlite_insert(
    table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], numbered: str
) -> tuple[str, list[Any]]:
    names = [*columns, numbered] if numbered else list(columns)
    values = ", ".join(["%s"] * len(columns))
    # SQLite has no sequences: its only writer counts on from the highest number.
    highest = f"(SELECT coalesce(max({numbered}), 0) FROM {table})"  # noqa: S608 - our names alone
    numbers = [f", {highest} + {n}" if numbered else "" for n in range(1, len(rows) + 1)]
    row_sql = ", ".join(f"({values}{number})" for number in numbers)
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES {row_sql}"  # noqa: S608
    return sql, [dialect.to_sqlite_value(value) for row in rows for value in row]
