"""Writing the trail. A service calls `record` within its own transaction: both stay, or neither."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from common import bulk
from common.callers import Actor
from common.ids import uuid7

_COLUMNS: Final = {
    "id": "uuid",
    "account_id": "uuid",
    "verb": "text",
    "actor": "text",
    "target_type": "text",
    "target_id": "uuid",
    "changed": "jsonb",
    "ip": "inet",
    "request_id": "text",
}


def record(
    *,
    actor: Actor,
    account_id: uuid.UUID,
    verb: str,
    target_type: str,
    target_id: uuid.UUID,
    changed: Sequence[str] = (),
) -> None:
    """Append one event. `changed` names fields; it never holds a value."""
    record_many(
        actor=actor,
        account_id=account_id,
        target_type=target_type,
        happenings=[(verb, target_id, changed)],
    )


def record_many(
    *,
    actor: Actor,
    account_id: uuid.UUID,
    target_type: str,
    happenings: Iterable[tuple[str, uuid.UUID, Sequence[str]]],
) -> None:
    """Append an event for each (verb, target id, changed), in one statement."""
    bulk.insert(
        "events_event",
        _COLUMNS,
        [
            (
                uuid7(),
                account_id,
                verb,
                actor.name,
                target_type,
                target_id,
                orjson.dumps(list(changed)).decode(),
                actor.ip,
                actor.request_id or "",
            )
            for verb, target_id, changed in happenings
        ],
    )
