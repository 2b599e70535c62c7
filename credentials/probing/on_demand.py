"""What callers start: a check now, and a report of what they met."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from django.db import transaction
from django.db.models import Case, F, Q, Value, When

from common.actors import Actor
from common.concurrency import has_capacity, require_capacity
from common.db.clock import db_now
from common.errors import NotFoundError, TooManyRequestsError
from credentials.health import probe_schedule
from credentials.health.evidence import Evidence
from credentials.health.models import ProbeState
from credentials.health.registration import register_all
from credentials.health.services import record_evidence
from credentials.models import Credential
from credentials.probing.check import check_credential

A_MINUTE: Final = 10
"""How often callers may have one credential probed: Latchkey is no tool for trying keys."""

_MINUTE: Final = dt.timedelta(minutes=1)
_REFUSALS: Final = frozenset({401, 403})


def credential_check(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """Ask the provider now. The answer is in the credential's health.

    Raises NotFound, TooMany (429) after ten in a minute, or Unavailable.
    """
    require_capacity()
    if not _spend(account_id, id):
        raise TooManyRequestsError(
            "This credential was checked often enough for now.", retry_after=60
        )
    _examine(account_id, id, actor)


def credential_report(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, status: int) -> None:
    """A caller says what its own request was answered with.

    401 and 403 are looked into at once, or by the worker where callers have asked too often or too
    many wait already: a report by itself changes nothing that the provider can be asked about. All
    else is noted alone.
    """
    refused = status in _REFUSALS
    with transaction.atomic():
        _require(account_id, id)
        evidence = Evidence(
            source="report",
            verdict="suspect" if refused else "unclear",
            note=f"A caller was answered HTTP {status} by the provider.",
            code=f"http_{status}",
        )
        record_evidence(account_id=account_id, credential_id=id, evidence=evidence, actor=actor)
    if refused and has_capacity() and _spend(account_id, id):
        _examine(account_id, id, actor)


def _examine(account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    wait = check_credential(account_id=account_id, id=id, actor=actor, on_demand=True)
    # A look of the worker's that is under way plans for itself.
    probe_schedule.reschedule_probe(ProbeState.objects.filter(lease_owner=""), id=id, wait=wait)


def _require(account_id: uuid.UUID, id: uuid.UUID) -> None:
    if not Credential.objects.filter(account_id=account_id, id=id).exists():
        raise NotFoundError()


def _spend(account_id: uuid.UUID, id: uuid.UUID) -> bool:
    """Take one of the minute's checks, by one UPDATE; False where none is left. Raises NotFound."""
    _require(account_id, id)
    register_all(Credential.objects.filter(id=id))
    now = db_now()
    over = Q(asked_since=None) | Q(asked_since__lte=now - _MINUTE)
    free = ProbeState.objects.filter(over | Q(asked__lt=A_MINUTE), credential_id=id)
    count = Case(When(over, then=Value(1)), default=F("asked") + 1)
    since = Case(When(over, then=Value(now)), default=F("asked_since"))
    return bool(free.update(asked=count, asked_since=since))
