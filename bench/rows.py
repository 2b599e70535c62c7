"""Converts bodies to encrypted rows, as the import does, and copies rows into a table."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any
from unittest import mock

from psycopg import Connection

from credentials.imports import merge
from credentials.imports.row_writes import COLUMNS
from credentials.imports.validation import validate_item


def sealed_row(
    body: dict[str, Any], account_id: uuid.UUID, *, id: uuid.UUID, created_at: dt.datetime
) -> merge.PlannedWrite:
    """Return the row that an import would create at `created_at` under this id."""
    item = validate_item(body, account_id=account_id)
    with mock.patch.object(merge, "uuid7", lambda: id):  # noqa: PT008 - a mock is slower
        return merge.plan_create(item, account_id=account_id, now=created_at)


def copy_in(connection: Connection[Any], table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """COPY `rows`, in the order of COLUMNS, into `table`."""
    command = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            copy.write_row(row)
