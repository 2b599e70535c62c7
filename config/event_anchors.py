"""Publishing the digest over all chains of the audit log, so that it exists outside the database."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any, Final

import orjson
import structlog
from django.conf import settings

from common.datetimes import format_rfc3339
from common.periodic_tasks import PeriodicTask
from egress import Request
from events.anchors import Anchor, compute_anchor
from webhooks.delivery import send_webhook
from webhooks.payload import sign

logger = structlog.get_logger(__name__)

INTERVAL: Final = 3600.0
RETRY_INTERVAL: Final = 60.0
"""Seconds until the next anchor, and until the next attempt after one that failed."""


class AnchorPublisher:
    """Publishes an anchor each hour. Every worker does: an anchor more does no harm."""

    def __init__(self) -> None:
        self._next_at = 0.0
        self._last_text = ""

    def publish_due(self) -> int:
        """Publish an anchor if an hour has passed and the chains have grown. Return 0."""
        if time.monotonic() < self._next_at:
            return 0
        anchor = compute_anchor()
        errors = publish_anchor(anchor) if anchor and anchor.text != self._last_text else []
        if anchor is not None and not errors:
            self._last_text = anchor.text
        self._next_at = time.monotonic() + (RETRY_INTERVAL if errors or not anchor else INTERVAL)
        return 0


def publish_anchor(anchor: Anchor) -> list[str]:
    """Log the anchor, append it to EVENT_ANCHOR_FILE and send it to EVENT_ANCHOR_URL, if they are set.

    Return a sentence for each of these that failed; they are logged as well.
    """
    payload = {
        "type": "audit_log.anchor",
        "timestamp": format_rfc3339(anchor.time),
        "data": {"anchor": anchor.text, "chains": anchor.chains},
    }
    logger.info("anchor of the audit log", anchor=anchor.text, chains=anchor.chains)
    errors = [*_append_to_file(payload), *_send(payload)]
    for error in errors:
        logger.error("the anchor of the audit log was not published", error=error)
    return errors


def _append_to_file(payload: dict[str, Any]) -> list[str]:
    path = settings.EVENT_ANCHOR_FILE
    if not path:
        return []
    try:
        with open(path, "ab") as file:
            file.write(orjson.dumps(payload) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return [f"EVENT_ANCHOR_FILE: {error.strerror}."]
    return []


def _send(payload: dict[str, Any]) -> list[str]:
    if not settings.EVENT_ANCHOR_URL:
        return []
    body = orjson.dumps(payload)
    headers = sign(uuid.uuid4(), body, at=time.time(), keys=[settings.EVENT_ANCHOR_SECRET])
    outcome = send_webhook(
        Request(method="POST", url=settings.EVENT_ANCHOR_URL, headers=headers, body=body)
    )
    return [f"EVENT_ANCHOR_URL: {outcome.error}"] if outcome.error else []


EVENT_ANCHORS: Final = PeriodicTask("anchors", every=60, run_batch=AnchorPublisher().publish_due)
