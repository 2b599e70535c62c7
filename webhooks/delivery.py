"""One attempt: taken up in one transaction, sent in none, and settled in another.

A worker that dies between the two leaves a lease that ends; another then sends the same message with
the same `webhook-id`. So a receiver may hear of a thing twice, and never not at all.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from common.actors import Actor
from common.db.clock import DbNow, db_now
from egress import client
from egress.deadline import Timeouts
from egress.errors import EgressError
from egress.requests import Request
from egress.responses import StreamingResponse
from egress.retry_after import parse_retry_after
from events.services import record_event
from vault.sealing import Place, SecretUnavailableError, unseal
from webhooks import payload, retry_schedule
from webhooks.leases import (
    LEASE_DURATION,
    DeliveryClaim,
    claim_due_deliveries,
    find_next_due,
    unblock_next_delivery,
)
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

__all__ = [
    "DeliveryClaim",
    "attempt_delivery",
    "claim_due_deliveries",
    "deliver_due",
    "find_next_due",
]

WORKER: Final = Actor(name="worker:webhooks")
GONE: Final = 410
_LIMITS: Final = Timeouts(total=15)
_BODY_READ: Final = 16_384


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """What came of one attempt. `status` is null where there was no answer.

    `error` says in one sentence why it failed, and is empty where it did not; it never holds what
    the receiver sent. `pause` is how many seconds they want to be left alone, a day at most.
    `theirs` says whether the receiver is to blame.
    """

    status: int | None = None
    error: str = ""
    retry_after: float = 0
    blames_receiver: bool = True


def deliver_due(*, owner: str, limit: int) -> int:
    """Claim at most `limit` due deliveries and send them, one after the other; how many were claimed."""
    claims = claim_due_deliveries(owner=owner, limit=limit)
    for claim in claims:
        attempt_delivery(claim)
    return len(claims)


def attempt_delivery(claim: DeliveryClaim) -> None:
    """Make one attempt. Nothing is sent, or written, by a claim whose lease was lost.

    It takes 15 s at most, holds no database connection while it waits, and is not called in a
    transaction. What goes wrong with the receiver is written down and not raised.
    """
    request = _taken_up(claim)
    if request is None:
        return
    settle_delivery(
        claim, request if isinstance(request, DeliveryOutcome) else send_webhook(request)
    )


def send_webhook(request: Request) -> DeliveryOutcome:
    """The answer's status is all that counts: 2xx is delivered, a redirect is not."""
    outcome = None
    try:
        with client.stream(request, timeouts=_LIMITS) as answer:
            outcome = _judged(answer)
            _read_away(answer)
    except EgressError as error:
        # What breaks after the status no longer matters.
        return outcome or DeliveryOutcome(error=str(error)[:300])
    return outcome


def settle_delivery(claim: DeliveryClaim, outcome: DeliveryOutcome) -> None:
    """Write down what came of it, unless the lease was lost meanwhile."""
    with transaction.atomic():
        endpoint = (
            WebhookEndpoint.objects.select_for_update(no_key=True)
            .filter(id=claim.endpoint_id)
            .annotate(now=DbNow())
            .first()
        )
        delivery = claim.filter_claimed().first() if endpoint else None
        if endpoint is None or delivery is None:
            return
        columns = _after(delivery, outcome, endpoint.now)
        if not claim.filter_claimed().update(**columns):
            return
        if columns["state"] != DeliveryState.PENDING:
            unblock_next_delivery(endpoint.id, delivery.target_id)
        _note(endpoint, outcome, endpoint.now)


def _taken_up(claim: DeliveryClaim) -> Request | DeliveryOutcome | None:
    """The request to send, on a lease that starts now; an Outcome if there is no key to sign with.

    None where the claim is no longer held, or its endpoint was disabled.
    """
    with transaction.atomic():
        now = db_now()
        if not claim.filter_claimed().update(next_at=now + LEASE_DURATION):
            return None
        delivery = claim.filter_claimed().select_related("endpoint").get()
        if not delivery.endpoint.enabled:
            claim.filter_claimed().update(next_at=now, lease_owner="", attempts=F("attempts") - 1)
            return None
        try:
            keys = _keys(delivery.endpoint, now)
        except SecretUnavailableError:
            return DeliveryOutcome(
                error="The signing secret cannot be opened here.", blames_receiver=False
            )
    return Request(
        method="POST",
        url=delivery.endpoint.url,
        headers=payload.build_headers(delivery, at=now, keys=keys),
        body=payload.build_body(delivery),
    )


def _keys(endpoint: WebhookEndpoint, now: dt.datetime) -> list[str]:
    """The newest secret, and the one before until its day is over."""
    until = endpoint.old_secret_until
    live = 2 if until is not None and until > now else 1
    rows = endpoint.secrets.order_by("-created_at", "-id")[:live]
    return [unseal(Place.of(row, "sealed"), row.sealed) for row in rows]


def _judged(answer: StreamingResponse) -> DeliveryOutcome:
    if 200 <= answer.status < 300:
        return DeliveryOutcome(answer.status)
    asks = answer.status in {429, 503}
    pause = (
        parse_retry_after(answer.headers, maximum=retry_schedule.MAX_RETRY_AFTER) if asks else None
    )
    return DeliveryOutcome(answer.status, f"The receiver answered {answer.status}.", pause or 0)


def _read_away(answer: StreamingResponse) -> None:
    """Read a short body to its end, so that its connection can be used again. It is kept nowhere."""
    left = _BODY_READ
    with contextlib.suppress(EgressError):
        for chunk in answer:
            left -= len(chunk)
            if left < 0:
                return


def _after(delivery: WebhookDelivery, outcome: DeliveryOutcome, now: dt.datetime) -> dict[str, Any]:
    """The delivery's columns after this attempt."""
    columns: dict[str, Any] = {
        "lease_owner": "",
        "last_status": outcome.status,
        "last_error": outcome.error,
    }
    if not outcome.error:
        return columns | {"state": DeliveryState.DELIVERED, "next_at": None, "delivered_at": now}
    jitter = secrets.randbelow(1000) / 1000
    wait = retry_schedule.get_retry_delay(
        delivery.attempts, jitter=jitter, at_least=outcome.retry_after
    )
    if wait is None or outcome.status == GONE:
        return columns | {"state": DeliveryState.FAILED, "next_at": None}
    return columns | {"state": DeliveryState.PENDING, "next_at": now + wait}


def _note(endpoint: WebhookEndpoint, outcome: DeliveryOutcome, now: dt.datetime) -> None:
    """What the attempt says of the endpoint."""
    row = WebhookEndpoint.objects.filter(id=endpoint.id)
    if not outcome.blames_receiver:
        return
    if not outcome.error:
        if endpoint.failures:
            row.update(failing_since=None, failures=0, quiet_until=None)
        return
    since, failures = endpoint.failing_since or now, endpoint.failures + 1
    row.update(
        failing_since=since,
        failures=failures,
        quiet_until=now + retry_schedule.get_quiet_period(failures),
    )
    if not endpoint.enabled:
        return
    if outcome.status == GONE:
        _disable(endpoint, now, "The receiver answered 410: it wants no more.")
    elif now - since >= retry_schedule.DISABLE_ENDPOINT_AFTER:
        _disable(endpoint, now, f"Every delivery failed for 5 days. The last: {outcome.error}")


def _disable(endpoint: WebhookEndpoint, now: dt.datetime, reason: str) -> None:
    WebhookEndpoint.objects.filter(id=endpoint.id).update(
        enabled=False,
        disabled_at=now,
        disabled_reason=reason[:200],
        revision=F("revision") + 1,
        updated_at=now,
    )
    record_event(
        actor=WORKER,
        account_id=endpoint.account_id,
        verb="webhook_endpoint.disabled",
        target_type="webhook_endpoint",
        target_id=endpoint.id,
        changed=["enabled"],
    )
