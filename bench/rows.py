"""Bodies into rows as the import makes them, sealed, and rows into a table by COPY."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any
from unittest import mock

import orjson
from psycopg import Connection

from credentials.importing import merge
from credentials.importing.items import read_item

TABLE = merge.TABLE
COLUMNS = {
    "id": "uuid",
    "identity": "bytea",
    "oauth_app_id": "uuid",
    "provider": "text",
    "name": "text",
    "owner_email": "text",
    "external_id": "text",
    "properties": "jsonb",
    "metadata": "jsonb",
    "health": "jsonb",
    "secrets": "bytea",
    "fingerprints": "jsonb",
    "obtained_at": "timestamptz",
    "expires_at": "timestamptz",
    "account_id": "uuid",
    "revision": "int4",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}


def sealed_row(
    body: dict[str, Any], account_id: uuid.UUID, *, id: uuid.UUID, moment: dt.datetime
) -> merge.Row:
    """The row that an import would create at `moment` under this id."""
    item = read_item(body, account_id=account_id)
    with mock.patch.object(merge, "uuid7", lambda: id):  # noqa: PT008 - a mock is slower
        return merge.create(item, account_id=account_id, now=moment).row


def values(row: merge.Row, account_id: uuid.UUID, moment: dt.datetime) -> tuple[Any, ...]:
    """`row` in the order of COLUMNS."""
    return (
        *row[:7],
        *(orjson.dumps(value).decode() for value in (row.properties, row.metadata, row.health)),
        row.secrets.blob if row.secrets else None,
        orjson.dumps(row.fingerprints).decode(),
        row.obtained_at,
        row.expires_at,
        account_id,
        1,
        moment,
        moment,
    )


def copy_in(connection: Connection[Any], table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """COPY `rows`, in the order of COLUMNS, into `table`."""
    command = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            copy.write_row(row)
