"""A provider's outage, told from one credential's trouble by looking at its other credentials."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from django.db.models import F, Q, QuerySet

from credentials.health.models import ProbeState
from providers.registry import get_registry

WINDOW: Final = dt.timedelta(minutes=10)
LEAST: Final = 3
"""So many credentials of one provider without an answer within WINDOW are no coincidence."""


def is_outage(provider: str, now: dt.datetime, *, unanswered_id: uuid.UUID | None = None) -> bool:
    """Whether at least LEAST credentials are without an answer, and no fewer than have had one.

    `silent`: one that just had no answer, whether that is written down yet or not.
    """
    mute = _silent(provider, now)
    answered = ProbeState.objects.filter(provider=provider, answered_at__gt=now - WINDOW)
    count = 0
    if unanswered_id is not None:
        mute, answered = (
            mute.exclude(credential_id=unanswered_id),
            answered.exclude(credential_id=unanswered_id),
        )
        count = 1
    count += mute.count()
    return count >= LEAST and count >= answered.count()


def build_outage_note(provider: str) -> str:
    """What all its credentials may be told: nothing of it is one account's own."""
    found = get_registry().get_provider(provider)
    name = found.name if found else provider
    return f"{name} does not answer for several credentials; that says nothing against this one."


def find_affected_credentials(
    provider: str, now: dt.datetime, *, exclude_id: uuid.UUID
) -> list[uuid.UUID]:
    """Those without an answer whose status does not say so yet, at most 100."""
    mute = _silent(provider, now).exclude(credential_id=exclude_id)
    calm = mute.filter(credential__health_status__in=("unknown", "ok"))
    return list(calm.order_by("credential_id").values_list("credential_id", flat=True)[:100])


def _silent(provider: str, now: dt.datetime) -> QuerySet[ProbeState]:
    since = ProbeState.objects.filter(provider=provider, unavailable_at__gt=now - WINDOW)
    return since.filter(Q(answered_at=None) | Q(answered_at__lt=F("unavailable_at")))
