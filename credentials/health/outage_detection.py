"""Outages of a provider, recognised by comparing its credentials with each other."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from django.db.models import F, Q, QuerySet

from credentials.health.models import ProbeState
from providers.registry import get_registry

WINDOW: Final = dt.timedelta(minutes=10)
MIN_CREDENTIALS: Final = 3
"""This many credentials of one provider without a response within WINDOW are no coincidence."""


def is_outage(provider: str, now: dt.datetime, *, unanswered_id: uuid.UUID | None = None) -> bool:
    """Return True if enough credentials have no response, and no fewer than have had one.

    `unanswered_id` is a credential that just had no response, stored or not.
    """
    unanswered = _filter_unanswered(provider, now)
    responding = ProbeState.objects.filter(provider=provider, answered_at__gt=now - WINDOW)
    count = 0
    if unanswered_id is not None:
        unanswered = unanswered.exclude(credential_id=unanswered_id)
        responding = responding.exclude(credential_id=unanswered_id)
        count = 1
    count += unanswered.count()
    return count >= MIN_CREDENTIALS and count >= responding.count()


def build_outage_note(provider_slug: str) -> str:
    """Return a note for credentials of all accounts: it contains nothing of any one account."""
    provider = get_registry().get_provider(provider_slug)
    name = provider.name if provider else provider_slug
    return f"{name} does not respond for several credentials. The cause is not this credential."


def find_affected_credentials(
    provider: str, now: dt.datetime, *, exclude_id: uuid.UUID
) -> list[uuid.UUID]:
    """Return at most 100 credentials without a response that are still displayed as fine."""
    unanswered = _filter_unanswered(provider, now).exclude(credential_id=exclude_id)
    unmarked = unanswered.filter(credential__health_status__in=("unknown", "ok"))
    return list(unmarked.order_by("credential_id").values_list("credential_id", flat=True)[:100])


def _filter_unanswered(provider: str, now: dt.datetime) -> QuerySet[ProbeState]:
    recent = ProbeState.objects.filter(provider=provider, unavailable_at__gt=now - WINDOW)
    return recent.filter(Q(answered_at=None) | Q(answered_at__lt=F("unavailable_at")))
