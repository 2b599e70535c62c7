"""Probes that are due: a source of the worker's. Any number of workers share the work.

A credential is taken by one conditional UPDATE of its ProbeState. All workers together keep one pace
per provider (ProviderGate), a slow one while it has an outage; what callers have reported goes first.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db.models import Exists, Min, OuterRef, QuerySet, Subquery

from common.actors import Actor
from common.db.clock import db_now
from common.errors import NotFoundError
from common.leases import Lease, claim_rows
from credentials.health import outage_detection, probe_schedule
from credentials.health.models import ProbeState, ProviderGate
from credentials.health.registration import register_new
from credentials.probing.check import check_credential

LEASE: Final = dt.timedelta(seconds=60)
"""Longer than two probes with a refresh between, of at most 12 s each."""

BATCH: Final = 5
A_SECOND: Final = 5.0
IN_AN_OUTAGE: Final = 0.1
"""Probes a second of one provider, by all workers together."""

PROBE_ACTOR: Final = Actor(name="worker:probes")
name = "probes"


def claim(owner: str, limit: int) -> list[Lease[ProbeState]]:
    """At most `limit` due credentials: reported ones, then of the provider served least recently."""
    register_new()
    now = db_now()
    reported = ProbeState.objects.filter(urgent=True, next_at__lte=now)
    claims = _claim_probes(reported, owner, now, limit)
    for gate in _open_gates(now):
        if len(claims) >= limit:
            break
        claims += _through(gate, owner, now, min(BATCH, limit - len(claims)))
    return claims


def run(claim: Lease[ProbeState]) -> None:
    """Look at it, and decide when the next look is due."""
    try:
        wait = check_credential(
            account_id=claim.row.account_id, id=claim.row.credential_id, actor=PROBE_ACTOR
        )
    except NotFoundError:
        return
    # A report that came in the meantime has made the row due already; it stays due.
    probe_schedule.reschedule_probe(claim.filter_rows(), id=claim.row.credential_id, wait=wait)


def next_due() -> dt.datetime | None:
    """When the next look is due; None where none is. A look under way is due when its lease ends."""
    urgent = ProbeState.objects.filter(urgent=True).aggregate(at=Min("next_at"))["at"]
    first = _of(OuterRef("provider")).order_by("next_at").values("next_at")[:1]
    gates = ProviderGate.objects.annotate(first=Subquery(first)).filter(first__isnull=False)
    turns = [max(open_at, at) for open_at, at in gates.values_list("open_at", "first")]
    return min([*turns, urgent] if urgent else turns, default=None)


def _open_gates(now: dt.datetime) -> QuerySet[ProviderGate]:
    due = _of(OuterRef("provider")).filter(next_at__lte=now)
    return ProviderGate.objects.filter(Exists(due), open_at__lte=now).order_by("open_at")


def _of(provider: Any) -> QuerySet[ProbeState]:
    return ProbeState.objects.filter(provider=provider)


def _through(
    gate: ProviderGate, owner: str, now: dt.datetime, limit: int
) -> list[Lease[ProbeState]]:
    """Some of one provider's, if nobody else has just taken their turn."""
    slow = outage_detection.is_outage(gate.provider, now)
    limit = 1 if slow else limit
    seconds = limit / (IN_AN_OUTAGE if slow else A_SECOND)
    mine = ProviderGate.objects.filter(provider=gate.provider, open_at=gate.open_at)
    if not mine.update(open_at=now + dt.timedelta(seconds=seconds)):
        return []
    due = _of(gate.provider).filter(next_at__lte=now)
    return _claim_probes(due, owner, now, limit)


def _claim_probes(
    due: QuerySet[ProbeState], owner: str, now: dt.datetime, limit: int
) -> list[Lease[ProbeState]]:
    rows = due.order_by("next_at")[:limit]
    return claim_rows(due, rows, owner=owner, until=now + LEASE, urgent=False)
