"""Probes by the worker. Any number of workers share the work.

All workers together keep one pace per provider (ProviderGate), which is slow during an outage.
Credentials that callers have reported go first.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.models import Exists, Min, OuterRef, Subquery

from common.actors import Actor
from common.db.clock import db_now
from common.errors import NotFoundError
from common.leases import Lease, claim_rows
from credentials.health.models import ProbeState, ProviderGate
from credentials.health.outage_detection import is_outage
from credentials.health.probe_schedule import reschedule_probe
from credentials.health.registration import register_new
from credentials.probing.check import check_credential

LEASE: Final = dt.timedelta(seconds=60)
"""Longer than two probes with a refresh between them, each of at most 12 s."""

BATCH: Final = 5
PROBES_PER_SECOND: Final = 5.0
PROBES_PER_SECOND_IN_OUTAGE: Final = 0.1
"""Of one provider, by all workers together."""

PROBE_ACTOR: Final = Actor(name="worker:probes")
name = "probes"


def claim(owner: str, limit: int) -> list[Lease[ProbeState]]:
    """Claim at most `limit` due credentials, those of providers with reported ones first.

    Then the provider whose gate opened first comes first.
    """
    register_new()
    now = db_now()
    leases: list[Lease[ProbeState]] = []
    due = ProbeState.objects.filter(provider=OuterRef("provider"), next_at__lte=now)
    gates = ProviderGate.objects.filter(Exists(due), open_at__lte=now)
    gates = gates.annotate(reported=Exists(due.filter(urgent=True)))
    # Reports pass the gate as well: callers could otherwise make Latchkey flood a provider.
    for gate in gates.order_by("-reported", "open_at"):
        if len(leases) >= limit:
            break
        slow = is_outage(gate.provider, now)
        count = 1 if slow else min(BATCH, limit - len(leases))
        seconds = count / (PROBES_PER_SECOND_IN_OUTAGE if slow else PROBES_PER_SECOND)
        unpassed = ProviderGate.objects.filter(provider=gate.provider, open_at=gate.open_at)
        # Another process may just have passed the gate.
        if unpassed.update(open_at=now + dt.timedelta(seconds=seconds)):
            states = ProbeState.objects.filter(provider=gate.provider, next_at__lte=now)
            rows = states.order_by("-urgent", "next_at")[:count]
            leases += claim_rows(states, rows, owner=owner, until=now + LEASE, urgent=False)
    return leases


def run(claim: Lease[ProbeState]) -> None:
    """Check the credential and schedule its next probe."""
    row = claim.row
    try:
        wait = check_credential(account_id=row.account_id, id=row.credential_id, actor=PROBE_ACTOR)
    except NotFoundError:
        return
    # A report that came in the meantime has made the row due already; it stays due.
    reschedule_probe(claim.filter_rows(), id=row.credential_id, wait=wait)


def next_due() -> dt.datetime | None:
    """Return when the next probe is due, None if there is none. A running one is due with its lease."""
    urgent = ProbeState.objects.filter(urgent=True).aggregate(at=Min("next_at"))["at"]
    states = ProbeState.objects.filter(provider=OuterRef("provider"))
    first = states.order_by("next_at").values("next_at")[:1]
    gates = ProviderGate.objects.annotate(first=Subquery(first)).filter(first__isnull=False)
    times = [max(open_at, next_at) for open_at, next_at in gates.values_list("open_at", "first")]
    return min([*times, urgent] if urgent else times, default=None)
