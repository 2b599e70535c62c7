"""Events of connect links and authorization attempts, and the failures that are stored with them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

import structlog
from django.core.cache import cache

from common.actors import Actor
from common.datetimes import format_rfc3339
from common.db.clock import db_now
from common.db.ids import get_first_uuid7_at
from credentials.connect.errors import get_failure_detail
from credentials.connect.models import AuthorizationAttempt, ConnectLink
from events.models import Event
from events.services import EventTarget, record_event

logger = structlog.get_logger(__name__)

MAX_UNMATCHED_EVENTS_PER_MINUTE: Final = 60
MAX_REJECTIONS_PER_MINUTE: Final = 10
MAX_REJECTIONS_PER_TARGET: Final = 100
"""The limits of events for each link or attempt, the second for as long as it exists."""

MAX_ANONYMOUS_EVENTS_PER_HOUR: Final = 600
"""The limit of these events for each account, whatever they are about."""

_VERB: Final = "connect.refused"

# Failures that were stored before their code was renamed keep the old code.
_RENAMED_CODES: Final = {
    "account_unproved": "account_unverified",
    "app_wrong": "app_rejected",
    "link_over": "link_used",
}


def get_event_target(row: AuthorizationAttempt | ConnectLink) -> EventTarget:
    """Return the object of an event about a link or an attempt."""
    name = "connect_link" if isinstance(row, ConnectLink) else "authorization_attempt"
    return EventTarget(name, row.account_id, row.id)


def record_unmatched_response(
    actor: Actor, account_id: uuid.UUID, app_id: uuid.UUID, code: str
) -> None:
    """Record an event of the app for a request that belongs to no attempt."""
    logger.warning("connect refused", code=code, app=str(app_id))
    # Anyone who knows the app's id can send these, so they must not fill the audit log.
    if _count_in_minute(f"connect/strays/{app_id}") <= MAX_UNMATCHED_EVENTS_PER_MINUTE:
        _append(actor, EventTarget("oauth_app", account_id, app_id), code)


def record_rejection(actor: Actor, row: AuthorizationAttempt | ConnectLink, code: str) -> None:
    """Record an event of a link or an attempt for a request that changes nothing."""
    # A scanner opens the same link again and again, which must not fill the audit log either.
    if _count_in_minute(f"connect/rejections/{row.id}") > MAX_REJECTIONS_PER_MINUTE:
        return
    target = get_event_target(row)
    rejections = Event.objects.filter(account_id=target.account_id, target_id=target.id, verb=_VERB)
    if rejections.count() < MAX_REJECTIONS_PER_TARGET:
        _append(actor, target, code)


def _append(actor: Actor, target: EventTarget, code: str) -> None:
    """Record an event, unless anonymous requests have added too many to the account's audit log."""
    an_hour_ago = get_first_uuid7_at(db_now() - dt.timedelta(hours=1))
    # Counted in the database: the cache is each process's own, and forgets.
    recent = Event.objects.filter(account_id=target.account_id, verb=_VERB, id__gte=an_hour_ago)
    if recent.count() < MAX_ANONYMOUS_EVENTS_PER_HOUR:
        record_event(actor, target, _VERB, [code])


def build_failure(code: str, detail: str = "") -> dict[str, Any]:
    """Return a failure as it is stored and displayed. `detail` must be a sentence of our own."""
    return {
        "code": code,
        "detail": detail or get_failure_detail(code),
        "time": format_rfc3339(db_now()),
    }


def _count_in_minute(key: str) -> int:
    """Return how often this was called with `key` in about a minute."""
    cache.add(key, 0, 60)
    try:
        return cache.incr(key)
    except ValueError:
        # The key expired between the two calls.
        return 1


def represent_failure(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored failure with the code that it has today."""
    if failure is None:
        return None
    return {**failure, "code": _RENAMED_CODES.get(failure["code"], failure["code"])}
