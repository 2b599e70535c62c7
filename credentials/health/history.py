"""What a change of status leaves behind: a row of history, an event, and a webhook."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.callers import Actor
from credentials.health.evidence import Evidence
from credentials.health.models import HealthChange
from events.services import record
from webhooks.services import tell


class Target(NamedTuple):
    """A credential or an OAuth app: `type` is what the trail and the webhooks call it."""

    type: str
    account_id: uuid.UUID
    id: uuid.UUID


def announce(
    target: Target, before: str, health: Mapping[str, Any], evidence: Evidence, actor: Actor
) -> None:
    """Note one change of status, in the transaction that makes it and under the row's lock."""
    HealthChange.objects.create(
        account_id=target.account_id,
        target_type=target.type,
        target_id=target.id,
        before=before,
        after=health["status"],
        source=evidence.source,
        code=evidence.code[:64],
        note=health["notes"][0] if health["notes"] else "",
    )
    verb = f"{target.type}.health_changed"
    record(
        actor=actor,
        account_id=target.account_id,
        verb=verb,
        target_type=target.type,
        target_id=target.id,
        changed=["health"],
    )
    tell(account_id=target.account_id, type=verb, target_id=target.id)
