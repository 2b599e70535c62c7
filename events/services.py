"""Writing the trail. A service calls `record` within its own transaction: both stay, or neither."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.db import connection

from common.actors import Actor
from common.db import bulk_insert, dialect
from common.db.ids import uuid7
from events.sequence import HIGHEST_POSITION_SQL

_TABLE: Final = "events_event"
_COLUMNS: Final = {
    "id": "uuid",
    "account_id": "uuid",
    "verb": "text",
    "actor": "text",
    "target_type": "text",
    "target_id": "uuid",
    "changed": "jsonb",
    "detail": "jsonb",
    "ip": "inet",
    "request_id": "text",
}


def record_event(
    *,
    actor: Actor,
    account_id: uuid.UUID,
    verb: str,
    target_type: str,
    target_id: uuid.UUID,
    changed: Sequence[str] = (),
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Append one event. `changed` names fields; it never holds a value.

    `detail`: facts of a use, such as its method and status, or the reason that somebody gave; nothing
    of what was sent or answered.
    """
    _insert([_row(actor, account_id, verb, target_type, target_id, changed, detail)])


def record_events(
    *,
    actor: Actor,
    account_id: uuid.UUID,
    target_type: str,
    events: Iterable[tuple[str, uuid.UUID, Sequence[str]]],
) -> None:
    """Append an event for each (verb, target id, changed), in one statement."""
    _insert(
        [
            _row(actor, account_id, verb, target_type, target_id, changed, None)
            for verb, target_id, changed in events
        ]
    )


def _row(
    actor: Actor,
    account_id: uuid.UUID,
    verb: str,
    target_type: str,
    target_id: uuid.UUID,
    changed: Sequence[str],
    detail: Mapping[str, str | int] | None,
) -> tuple[Any, ...]:
    """In the order of `_COLUMNS`."""
    return (
        uuid7(),
        account_id,
        verb,
        actor.name,
        target_type,
        target_id,
        orjson.dumps(list(changed)).decode(),
        orjson.dumps(detail).decode() if detail is not None else None,
        actor.ip,
        actor.request_id or "",
    )


def _insert(rows: Sequence[Sequence[Any]]) -> None:
    """PostgreSQL gives each row its position by itself; SQLite is told how."""
    if dialect.is_postgresql() or not rows:
        bulk_insert.insert_rows(_TABLE, _COLUMNS, rows)
        return
    values = ", ".join(["%s"] * len(_COLUMNS))
    numbered = ", ".join(f"({values}, {HIGHEST_POSITION_SQL} + {n + 1})" for n in range(len(rows)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)}, position) VALUES {numbered}",  # noqa: S608
            [dialect.adapt(value) for row in rows for value in row],
        )
