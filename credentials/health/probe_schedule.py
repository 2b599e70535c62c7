"""The schedule of probes."""

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

PROBE_INTERVAL: Final = dt.timedelta(hours=24)
CHECK_INTERVAL: Final = dt.timedelta(days=7)
"""Of kinds without a probe: only their encryption and their dates are checked."""

FIRST_RETRY: Final = dt.timedelta(minutes=5)


def reschedule_probe(states: QuerySet[ProbeState], *, id: uuid.UUID, wait: int) -> None:
    """Set when the credential is probed next, if its state is one of `states`.

    `wait` is the provider's Retry-After in seconds, which defers all its credentials.
    """
    row = Credential.objects.defer("secrets").filter(id=id).first()
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
    """Return a time about a day away, or earlier after failures or before a coming expiry."""
    kind = get_registry().get_kind(row.kind)
    if state.failures:
        backoff = get_backoff(state.failures, first=FIRST_RETRY, longest=PROBE_INTERVAL)
        interval = min(max(backoff, dt.timedelta(seconds=wait)), PROBE_INTERVAL)
    else:
        has_probe = kind is not None and kind.probe is not None
        interval = PROBE_INTERVAL if has_probe else CHECK_INTERVAL
    # 0.95 to 1.05, always the same for a credential: those imported together spread over two hours.
    spread = 0.95 + (row.id.int % 1000) / 10_000
    next_at: dt.datetime = now + interval * spread
    expiry = forecast_expiry(row, kind, state.granted_at) if kind else None
    dates = [date for date in (expiry.warn_from, expiry.ends_at) if date > now] if expiry else []
    return min([next_at, *dates])
