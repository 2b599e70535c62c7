"""When a credential is looked at again."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from django.db.models import QuerySet

from common.backoff import get_backoff
from common.db.clock import db_now
from credentials.health.expiry import forecast_expiry
from credentials.health.models import ProbeState, ProviderGate
from credentials.models import Credential
from providers.registry import get_registry

EVERY: Final = dt.timedelta(hours=24)
EVERY_WITHOUT_PROBE: Final = dt.timedelta(days=7)
"""Only its seal and its dates are looked at."""

FIRST_RETRY: Final = dt.timedelta(minutes=5)


def reschedule_probe(states: QuerySet[ProbeState], *, id: uuid.UUID, wait: int) -> None:
    """Say when the credential is next looked at, if its state is one of `states`.

    `wait`: seconds for which its provider wants to be left alone; then all its credentials wait.
    """
    row = Credential.objects.defer("secrets", "previous").filter(id=id).first()
    state = ProbeState.objects.filter(credential_id=id).first()
    if row is None or state is None:
        return
    now = db_now()
    states.filter(credential_id=id).update(
        next_at=compute_next_probe_at(row, state, now, wait), urgent=False, lease_owner=""
    )
    if wait:
        later = now + dt.timedelta(seconds=wait)
        ProviderGate.objects.filter(provider=row.provider, open_at__lt=later).update(open_at=later)


def compute_next_probe_at(
    row: Credential, state: ProbeState, now: dt.datetime, wait: int = 0
) -> dt.datetime:
    """A day on, spread over two hours; sooner after silence or before an end that is near."""
    kind = get_registry().get_kind(row.kind)
    probed = kind is not None and kind.probe is not None
    if state.failures:
        backoff = get_backoff(state.failures, first=FIRST_RETRY, longest=EVERY)
        usual = min(max(backoff, dt.timedelta(seconds=wait)), EVERY)
    else:
        usual = EVERY if probed else EVERY_WITHOUT_PROBE
    at: dt.datetime = now + usual * _spread(row.id)
    end = forecast_expiry(row, kind, state.granted_at) if kind else None
    dates = [day for day in (end.warn_from, end.ends_at) if day > now] if end else []
    return min([at, *dates])


def _spread(id: uuid.UUID) -> float:
    """0.95 to 1.05, the same for a credential always: what came together does not stay together."""
    return 0.95 + (id.int % 1000) / 10_000
