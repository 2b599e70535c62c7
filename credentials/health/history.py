"""The history of a status: one row for each change, with its event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.db import bulk_insert
from common.db.ids import uuid7
from credentials.health.evidence import Evidence
from events.services import EventTarget, NewEvent

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


def record_status_change(
    target: EventTarget, before: str, health: Mapping[str, Any], evidence: Evidence
) -> NewEvent:
    """Store one change of status, in the transaction that makes it and under the row's lock.

    Returns its event, which the caller records by `record_changes` in the same transaction.
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
    return NewEvent(f"{target.type}.health_changed", target.id, ["health"])
