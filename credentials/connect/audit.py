"""The events of connecting, and the reasons that staff read."""

from __future__ import annotations

import uuid
from typing import Any, Final

import structlog
from django.core.cache import cache

from common.actors import Actor
from common.datetimes import format_rfc3339
from common.db.clock import db_now
from credentials.connect.errors import get_failure_detail
from events.services import EventTarget, record_event

logger = structlog.get_logger(__name__)

MAX_UNMATCHED_EVENTS_PER_MINUTE: Final = 60


def record_unmatched_response(
    actor: Actor, account_id: uuid.UUID, app_id: uuid.UUID, code: str
) -> None:
    """An answer that belongs to no attempt: an event of the app, as anybody can send any number."""
    logger.warning("connect refused", code=code, app=str(app_id))
    if _count(f"connect/strays/{app_id}") <= MAX_UNMATCHED_EVENTS_PER_MINUTE:
        record_event(actor, EventTarget("oauth_app", account_id, app_id), "connect.refused", [code])


def _count(key: str) -> int:
    """How often this was called within a minute; it starts anew when the cache forgets."""
    cache.add(key, 0, 60)
    try:
        return cache.incr(key)
    except ValueError:  # It ran out between the two.
        return 1


# Codes of failures that were stored before they were renamed.
_RENAMED_CODES: Final = {
    "account_unproved": "account_unverified",
    "app_wrong": "app_rejected",
    "link_over": "link_used",
}


def represent_failure(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored failure with the code that it has today."""
    if failure is None:
        return None
    return {**failure, "code": _RENAMED_CODES.get(failure["code"], failure["code"])}


def build_failure(code: str, detail: str = "") -> dict[str, Any]:
    """Why something failed, as it is stored and shown. `detail` is a sentence of our own."""
    return {
        "code": code,
        "detail": detail or get_failure_detail(code),
        "time": format_rfc3339(db_now()),
    }
