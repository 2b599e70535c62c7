"""Create and update an account's custom providers (`custom.<name>`), with their events.

`providers` stores the rows; as a leaf it cannot record events, so that happens here.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TypedDict, Unpack

from django.db import transaction

from common.actors import Actor
from egress.policy import allowed_targets
from events.services import EventTarget, record_event
from providers import services
from providers.models import CustomProvider


class CustomProviderOptions(TypedDict, total=False):
    """The optional fields of a custom provider."""

    auth_header: str
    prefix: str
    blocked_endpoints: Sequence[str]
    rate_limit: int


class CustomProviderChanges(CustomProviderOptions, total=False):
    """The fields of a custom provider that can change: all but its name."""

    base_url: str


def custom_provider_create(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    name: str,
    base_url: str,
    **options: Unpack[CustomProviderOptions],
) -> CustomProvider:
    """Create a custom provider. Raises InvalidInputError, or ConflictError if the name is in use."""
    with transaction.atomic():
        row = services.custom_provider_create(
            account_id=account_id,
            name=name,
            base_url=base_url,
            allowed_targets=allowed_targets(),
            **options,
        )
        fields = sorted(["base_url", "name", *options])
        target = EventTarget("custom_provider", row.account_id, row.id)
        record_event(actor, target, "custom_provider.created", fields)
    return row


def custom_provider_update(
    *, account_id: uuid.UUID, actor: Actor, name: str, **changes: Unpack[CustomProviderChanges]
) -> CustomProvider:
    """Change a custom provider. Raises InvalidInputError or NotFoundError.

    The event names only the fields whose value differs; without one there is no event.
    """
    with transaction.atomic():
        # Locked, so that the event compares with the values that this update replaces.
        rows = CustomProvider.objects.select_for_update()
        before = rows.filter(account_id=account_id, name=name).first()
        row = services.custom_provider_update(
            account_id=account_id, name=name, allowed_targets=allowed_targets(), **changes
        )
        changed = [field for field in changes if getattr(before, field) != getattr(row, field)]
        if changed:
            target = EventTarget("custom_provider", row.account_id, row.id)
            record_event(actor, target, "custom_provider.updated", sorted(changed))
    return row
