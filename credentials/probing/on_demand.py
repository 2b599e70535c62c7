"""Checks and reports by callers."""

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
from credentials.health.evidence import Evidence
from credentials.health.models import ProbeState
from credentials.health.probe_schedule import reschedule_probe
from credentials.health.registration import register_all
from credentials.health.services import record_evidence
from credentials.models import Credential
from credentials.probing.check import check_credential
from credentials.probing.probes import MIN_REFRESH_INTERVAL
from credentials.refresh.services import grant_refresh_soon

MAX_PER_MINUTE: Final = 10
"""Of one credential. Otherwise Latchkey would be a tool for trying out keys."""

_MINUTE: Final = dt.timedelta(minutes=1)
_REJECTIONS: Final = frozenset({401, 403})


def credential_check(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    """Probe the credential now. The result is in its health.

    Raises NotFoundError, TooManyRequestsError after ten in a minute, or ServiceUnavailableError if
    too many requests are waiting already.
    """
    require_capacity()
    if not _count_check(account_id, id):
        raise TooManyRequestsError(
            "This credential has been checked 10 times within a minute. Try again in a minute.",
            retry_after=60,
        )
    _check_now(account_id, id, actor)


def credential_report(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, status: int) -> None:
    """Record the HTTP status of a caller's own request to the provider. Raises NotFoundError.

    401 and 403 are checked at once, or by the worker if the limit is reached or too many requests
    are waiting. Other statuses are only recorded.
    """
    is_rejected = status in _REJECTIONS
    with transaction.atomic():
        _require_credential(account_id, id)
        # A caller's word alone never changes a status that a probe can confirm.
        evidence = Evidence(
            source="report",
            verdict="suspect" if is_rejected else "unclear",
            note=f"A caller got HTTP {status} from the provider.",
            code=f"http_{status}",
        )
        record_evidence(account_id=account_id, credential_id=id, evidence=evidence, actor=actor)
    if not is_rejected:
        return
    reported_generation = _get_generation(id)
    if has_capacity() and _count_check(account_id, id):
        _check_now(account_id, id, actor)
    if _get_generation(id) == reported_generation:
        # A kind without a probe is checked by a refresh, which may have been too recent.
        grant_refresh_soon(account_id=account_id, id=id, min_interval=MIN_REFRESH_INTERVAL)


def _check_now(account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> None:
    wait = check_credential(account_id=account_id, id=id, actor=actor, on_demand=True)
    # A probe that the worker is running schedules the next one itself.
    reschedule_probe(ProbeState.objects.filter(lease_owner=""), id=id, wait=wait)


def _get_generation(id: uuid.UUID) -> int | None:
    return Credential.objects.filter(id=id).values_list("grant__generation", flat=True).first()


def _require_credential(account_id: uuid.UUID, id: uuid.UUID) -> None:
    if not Credential.objects.filter(account_id=account_id, id=id).exists():
        raise NotFoundError()


def _count_check(account_id: uuid.UUID, id: uuid.UUID) -> bool:
    """Count one check by one UPDATE. Return False if the minute's limit is reached."""
    _require_credential(account_id, id)
    register_all(Credential.objects.filter(id=id))
    now = db_now()
    is_new_minute = Q(asked_since=None) | Q(asked_since__lte=now - _MINUTE)
    free = ProbeState.objects.filter(is_new_minute | Q(asked__lt=MAX_PER_MINUTE), credential_id=id)
    count = Case(When(is_new_minute, then=Value(1)), default=F("asked") + 1)
    since = Case(When(is_new_minute, then=Value(now)), default=F("asked_since"))
    return bool(free.update(asked=count, asked_since=since))
