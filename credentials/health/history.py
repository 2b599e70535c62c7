"""What a change of status leaves behind: a row of history, an event, and a webhook."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from common.actors import Actor
from common.db import bulk_insert
from common.db.ids import uuid7
from credentials.health.evidence import Evidence
from events.services import record_events
from webhooks.services import enqueue_webhooks


class HealthTarget(NamedTuple):
    """A credential or an OAuth app: `type` is what the trail and the webhooks call it."""

    type: str
    account_id: uuid.UUID
    id: uuid.UUID


HealthEvent = tuple[str, Sequence[str]]
"""The verb of an event, which is also a webhook's type, and the fields that changed."""

_COLUMNS: Final = {
    "id": "uuid",
    "account_id": "uuid",
    "target_type": "text",
    "target_id": "uuid",
    "before": "text",
    "after": "text",
    "source": "text",
    "code": "text",
    "note": "text",
}


def record_change(
    target: HealthTarget, before: str, health: Mapping[str, Any], evidence: Evidence
) -> HealthEvent:
    """Keep one change of status, in the transaction that makes it and under the row's lock.

    What it returns is to be told of (`tell_of`) in the same transaction.
    """
    row = (
        uuid7(),
        target.account_id,
        target.type,
        target.id,
        before,
        health["status"],
        evidence.source,
        evidence.code[:64],
        health["notes"][0] if health["notes"] else "",
    )
    bulk_insert.insert_rows("health_healthchange", _COLUMNS, [row])
    return f"{target.type}.health_changed", ["health"]


def publish_events(target: HealthTarget, actor: Actor, happenings: Sequence[HealthEvent]) -> None:
    """An event and a webhook for each happening, in a statement for all events and one for webhooks."""
    if not happenings:
        return
    record_events(
        actor=actor,
        account_id=target.account_id,
        target_type=target.type,
        events=[(verb, target.id, changed) for verb, changed in happenings],
    )
    enqueue_webhooks(
        account_id=target.account_id, events=[(verb, target.id) for verb, _ in happenings]
    )
