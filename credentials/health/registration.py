"""Registration of new credentials for probing: each gets its ProbeState from the worker.

Ids are time-ordered, so most new credentials have ids above the newest registered one. But ids come
from the clocks of many machines, and transactions commit late. So the last minutes are searched
again each minute, and all rows each hour: what is not registered is found by its absence.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from typing import Final

from django.db.models import Exists, OuterRef, QuerySet

from common.db import bulk_insert
from common.db.clock import db_now
from credentials.health.models import ProbeState
from credentials.models import Credential

CHUNK: Final = 1000
LATE: Final = dt.timedelta(minutes=10)
"""Longer than any transaction, plus the difference between the clocks of machines."""

_COLUMNS: Final = {
    "credential_id": "uuid",
    "account_id": "uuid",
    "provider": "text",
    "next_at": "timestamptz",
    "urgent": "boolean",
    "lease_owner": "text",
    "failures": "int",
    "silent_since": "timestamptz",
    "cause": "text",
    "lost_scopes": "text",
    "granted_at": "timestamptz",
    "answered_at": "timestamptz",
    "unavailable_at": "timestamptz",
    "asked": "int",
    "asked_since": "timestamptz",
}

SWEEP_SECONDS: Final = 60.0
FULL_SWEEP_SECONDS: Final = 3600.0
_swept = -SWEEP_SECONDS
_fully_swept = -FULL_SWEEP_SECONDS


def register_new() -> int:
    """Register up to CHUNK new credentials, and those that were missed. Return how many."""
    global _swept, _fully_swept
    rows = Credential.objects.all()
    if time.monotonic() - _fully_swept >= FULL_SWEEP_SECONDS:
        count = _register(rows)
        if count < CHUNK:
            _fully_swept = time.monotonic()
        return count
    # One id from a clock that was ahead would hide all later ones for as long as it is ahead.
    past = ProbeState.objects.filter(credential_id__lte=_make_id(db_now()))
    newest = past.order_by("-credential_id").values_list("credential_id").first()
    if newest is None:
        return _register(rows)
    (newest_id,) = newest
    count = _register(rows.filter(id__gt=newest_id))
    if time.monotonic() - _swept >= SWEEP_SECONDS:
        _swept = time.monotonic()
        earliest = _make_id(dt.datetime.fromtimestamp((newest_id.int >> 80) / 1000, dt.UTC) - LATE)
        count += _register(rows.filter(id__gt=earliest, id__lt=newest_id))
    return count


def _make_id(at: dt.datetime) -> uuid.UUID:
    """Return the lowest id of that time: its first 48 bits are milliseconds (RFC 9562 §5.7)."""
    return uuid.UUID(int=max(int(at.timestamp() * 1000), 0) << 80)


def register_all(rows: QuerySet[Credential]) -> None:
    """Register all of `rows` that are not, however old."""
    while _register(rows) == CHUNK:
        pass


def insert_probe_states(states: Sequence[ProbeState], *, has_gates: bool = False) -> None:
    """Insert those that do not exist, and the gates of their providers unless `has_gates`."""
    rows = [[getattr(state, name) for name in _COLUMNS] for state in states]
    bulk_insert.insert_rows("health_probestate", _COLUMNS, rows, suffix="ON CONFLICT DO NOTHING")
    if not has_gates:
        gates = [[provider] for provider in {state.provider for state in states}]
        columns = {"provider": "text"}
        bulk_insert.insert_rows(
            "health_providergate", columns, gates, suffix="ON CONFLICT DO NOTHING"
        )


def _register(rows: QuerySet[Credential]) -> int:
    registered = ProbeState.objects.filter(credential_id=OuterRef("id"))
    new = rows.filter(~Exists(registered)).order_by("id")
    ids = list(new.values_list("id", "account_id", "provider")[:CHUNK])
    if ids:
        now = db_now()
        insert_probe_states(
            [
                ProbeState(credential_id=id, account_id=account_id, provider=provider, next_at=now)
                for id, account_id, provider in ids
            ]
        )
    return len(ids)
