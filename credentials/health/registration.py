"""Giving each credential its ProbeState, after its import: an import of 100,000 rows makes none.

Ids are time-ordered, so what is new is what lies above the newest that has one. A transaction that
began earlier may commit ids below that later, so the last minutes are gone through again.
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
"""Longer than a transaction lasts and clocks differ."""

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
    "granted_at": "timestamptz",
    "answered_at": "timestamptz",
    "unavailable_at": "timestamptz",
    "asked": "int",
    "asked_since": "timestamptz",
}

SWEEP_SECONDS: Final = 60.0
_swept = -SWEEP_SECONDS


def register_new() -> int:
    """Enrol up to CHUNK new credentials; how many. Latecomers once a minute in each process."""
    global _swept
    newest = ProbeState.objects.order_by("-credential_id").values_list("credential_id").first()
    rows = Credential.objects.all()
    if newest is None:
        return _insert(rows)
    count = _insert(rows.filter(id__gt=newest[0]))
    if time.monotonic() - _swept >= SWEEP_SECONDS:
        _swept = time.monotonic()
        count += _insert(rows.filter(id__gt=_earlier(newest[0]), id__lt=newest[0]))
    return count


def register_all(rows: QuerySet[Credential]) -> None:
    """Enrol whatever of `rows` is not, however old."""
    while _insert(rows) == CHUNK:
        pass


def insert_probe_states(states: Sequence[ProbeState], *, has_gates: bool = False) -> None:
    """Insert those that are not there, and, unless they are `gated`, the gates of new providers."""
    rows = [[getattr(state, name) for name in _COLUMNS] for state in states]
    bulk_insert.insert_rows("health_probestate", _COLUMNS, rows, suffix="ON CONFLICT DO NOTHING")
    if not has_gates:
        gates = [[provider] for provider in {state.provider for state in states}]
        columns = {"provider": "text"}
        bulk_insert.insert_rows(
            "health_providergate", columns, gates, suffix="ON CONFLICT DO NOTHING"
        )


def _insert(rows: QuerySet[Credential]) -> int:
    known = ProbeState.objects.filter(credential_id=OuterRef("id"))
    found = rows.filter(~Exists(known)).order_by("id").values_list("id", "account_id", "provider")
    new = list(found[:CHUNK])
    if not new:
        return 0
    now = db_now()
    insert_probe_states(
        [
            ProbeState(credential_id=id, account_id=account, provider=provider, next_at=now)
            for id, account, provider in new
        ]
    )
    return len(new)


def _earlier(id: uuid.UUID) -> uuid.UUID:
    """The smallest id of LATE before `id` was made (RFC 9562 §5.7: 48 bits of milliseconds)."""
    millis = max((id.int >> 80) - int(LATE.total_seconds() * 1000), 0)
    return uuid.UUID(int=millis << 80)
