"""Writing the audit log: events are rows of the transaction of the change that they record."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from common.actors import Actor
from common.db import bulk_insert
from common.db.ids import uuid7

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


class EventTarget(NamedTuple):
    """The object of an event. `type` is its name in the audit log, such as `oauth_app`."""

    type: str
    account_id: uuid.UUID
    id: uuid.UUID


class NewEvent(NamedTuple):
    """One event of several. `changed` holds names of fields, and never a value."""

    verb: str
    target_id: uuid.UUID
    changed: Sequence[str] = ()


def record_event(
    actor: Actor,
    target: EventTarget,
    verb: str,
    changed: Sequence[str] = (),
    *,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Append one event. Call it in the transaction of the change, so that both are stored or neither.

    `changed` holds names of fields, and never a value. `detail` holds facts of a use, such as its
    method and status, or the reason that a user gave; no content of a request or response.
    """
    _insert([_build_row(actor, target, verb, changed, detail)])


def record_events(
    actor: Actor, account_id: uuid.UUID, target_type: str, events: Sequence[NewEvent]
) -> None:
    """Append events about objects of one account and type, in one statement."""
    _insert(
        [
            _build_row(actor, EventTarget(target_type, account_id, id), verb, changed)
            for verb, id, changed in events
        ]
    )


def _build_row(
    actor: Actor,
    target: EventTarget,
    verb: str,
    changed: Sequence[str],
    detail: Mapping[str, str | int] | None = None,
) -> tuple[Any, ...]:
    """Return the values of an event in the order of `_COLUMNS`."""
    return (
        uuid7(),
        target.account_id,
        verb,
        actor.name,
        target.type,
        target.id,
        orjson.dumps(list(changed)).decode(),
        orjson.dumps(detail).decode() if detail is not None else None,
        actor.ip,
        actor.request_id or "",
    )


def _insert(rows: Sequence[Sequence[Any]]) -> None:
    bulk_insert.insert_rows(_TABLE, _COLUMNS, rows, numbered="position")
