"""Custom services of an account, `custom.<name>`: made and changed here, with the trail.

The rows are the room of providers' own, which is a leaf and knows no events.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction

from common.actors import Actor
from egress.allowlist import allowed_targets
from events.services import record_event
from providers import services
from providers.models import CustomProvider


def custom_provider_create(
    *, account_id: uuid.UUID, actor: Actor, name: str, base_url: str, **more: Any
) -> CustomProvider:
    """A new one; `more` are auth_header, prefix, blocked_endpoints and rate_limit.

    Raises Invalid, or Conflict where the name is taken.
    """
    with transaction.atomic():
        row = services.custom_provider_create(
            account_id=account_id, name=name, base_url=base_url, opened=allowed_targets(), **more
        )
        _record(row, actor, "custom_provider.created", ["base_url", "name", *more])
    return row


def custom_provider_update(
    *, account_id: uuid.UUID, actor: Actor, name: str, **changes: Any
) -> CustomProvider:
    """Change any field but the name; what is as it was is no event. Raises Invalid or NotFound."""
    with transaction.atomic():
        rows = CustomProvider.objects.select_for_update()
        held = rows.filter(account_id=account_id, name=name).first()
        row = services.custom_provider_update(
            account_id=account_id, name=name, opened=allowed_targets(), **changes
        )
        changed = [field for field in changes if getattr(held, field) != getattr(row, field)]
        if changed:
            _record(row, actor, "custom_provider.updated", changed)
    return row


def _record(row: CustomProvider, actor: Actor, verb: str, changed: list[str]) -> None:
    record_event(
        actor=actor,
        account_id=row.account_id,
        verb=verb,
        target_type="custom_provider",
        target_id=row.id,
        changed=sorted(changed),
    )
