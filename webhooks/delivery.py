"""One attempt to send a delivery: prepare in one transaction, send in none, settle in another.

A worker that dies in between leaves a lease that expires. Another worker then sends the same message
with the same `webhook-id`: a receiver may get a message twice, but never not at all.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from common.actors import Actor
from common.db.clock import db_now
from common.leases import Lease
from egress import EgressError, Request, Timeouts, client
from egress.headers import parse_retry_after
from events.services import EventTarget, record_event
from vault.sealing import Place, SecretUnavailableError, unseal
from webhooks import payload, retry_schedule
from webhooks.leases import (
    LEASE_DURATION,
    claim_due_deliveries,
    lock_endpoint,
    unblock_next_delivery,
)
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

WORKER: Final = Actor(name="worker:webhooks")
GONE: Final = 410
_TIMEOUTS: Final = Timeouts(total=15)
_MAX_DRAINED_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome of one attempt.

    `status` is None if there was no response. `error` is one sentence, "" if the delivery was
    accepted; it never contains what the receiver sent. `retry_after` is in seconds, a day at most.
    `blames_receiver` is False if the attempt says nothing about the receiver.
    """

    status: int | None = None
    error: str = ""
    retry_after: float = 0
    blames_receiver: bool = True


def deliver_due(*, owner: str, limit: int) -> int:
    """Claim at most `limit` due deliveries, send them one by one, and return how many there were."""
    leases = claim_due_deliveries(owner=owner, limit=limit)
    for lease in leases:
        attempt_delivery(lease)
    return len(leases)


def attempt_delivery(lease: Lease[WebhookDelivery]) -> DeliveryOutcome | None:
    """Make one attempt and return its outcome, or None if the lease was lost.

    It takes 15 seconds at most, keeps no database connection while it waits, and must not be called
    in a transaction. A failure of the receiver is stored, not raised.
    """
    request = _prepare_request(lease)
    if request is None:
        return None
    outcome = send_webhook(request) if isinstance(request, Request) else request
    settle_delivery(lease, outcome)
    return outcome


def send_webhook(request: Request) -> DeliveryOutcome:
    """Send the request. A 2xx status means delivered; a redirect does not."""
    outcome = None
    try:
        with client.stream(request, timeouts=_TIMEOUTS) as response:
            outcome = DeliveryOutcome(response.status)
            if not 200 <= response.status < 300:
                retry_after = None
                if response.status in {429, 503}:
                    retry_after = parse_retry_after(
                        response.headers, maximum=retry_schedule.MAX_RETRY_AFTER
                    )
                error = f"The receiver responded with status {response.status}."
                outcome = DeliveryOutcome(response.status, error, retry_after or 0)
            # A short body is read and discarded, so that the connection can be used again.
            remaining = _MAX_DRAINED_BYTES
            for chunk in response:
                remaining -= len(chunk)
                if remaining < 0:
                    break
    except EgressError as failure:
        # A connection that breaks after the status changes nothing.
        return outcome or DeliveryOutcome(error=str(failure)[:300])
    return outcome


def settle_delivery(lease: Lease[WebhookDelivery], outcome: DeliveryOutcome) -> None:
    """Store the outcome, unless the lease was lost."""
    with transaction.atomic():
        endpoint = lock_endpoint(lease.row.endpoint_id)
        delivery = lease.filter_rows().first() if endpoint else None
        if endpoint is None or delivery is None:
            return
        columns = build_columns(delivery, outcome, endpoint.now)
        if not lease.settle(**columns):
            return
        if columns["state"] != DeliveryState.PENDING:
            unblock_next_delivery(endpoint.row.id, delivery.target_id)
        if outcome.blames_receiver:
            update_endpoint(endpoint.row, outcome, endpoint.now)


def _prepare_request(lease: Lease[WebhookDelivery]) -> Request | DeliveryOutcome | None:
    """Return the request to send, and let the whole lease begin now.

    Return an outcome if the secret cannot be decrypted, and None if the lease was lost or the
    endpoint was disabled.
    """
    with transaction.atomic():
        now = db_now()
        if lease.renew(now + LEASE_DURATION) is None:
            return None
        delivery = lease.filter_rows().select_related("endpoint").get()
        endpoint = delivery.endpoint
        if not endpoint.enabled:
            lease.settle(next_at=now)
            return None
        keys = decrypt_signing_secrets(endpoint, now)
    return build_request(endpoint, delivery, now, keys)


def decrypt_signing_secrets(endpoint: WebhookEndpoint, now: dt.datetime) -> list[str]:
    """Return the secrets that sign what is sent `now`, none if one cannot be decrypted."""
    # For 24 hours after a rotation, the former secret signs too.
    is_old_valid = endpoint.old_secret_until is not None and endpoint.old_secret_until > now
    rows = endpoint.secrets.order_by("-created_at", "-id")[: 2 if is_old_valid else 1]
    try:
        return [unseal(Place.of(row, "sealed"), row.sealed) for row in rows]
    except SecretUnavailableError:
        return []


def build_request(
    endpoint: WebhookEndpoint, delivery: WebhookDelivery, now: dt.datetime, keys: Sequence[str]
) -> Request | DeliveryOutcome:
    """Return the request to send, signed by `keys`, or an outcome if there are none."""
    if not keys:
        return DeliveryOutcome(
            error="The signing secret cannot be decrypted with this server's keys.",
            blames_receiver=False,
        )
    return Request(
        method="POST",
        url=endpoint.url,
        headers=payload.build_headers(delivery, at=now, keys=keys),
        body=payload.build_body(delivery),
    )


def build_columns(
    delivery: WebhookDelivery, outcome: DeliveryOutcome, now: dt.datetime
) -> dict[str, Any]:
    """Return the delivery's new values after an attempt."""
    # Counted here and not by the claim: a worker that is killed has got no response.
    attempts = delivery.attempts + 1
    columns = {
        "attempts": attempts, "last_status": outcome.status, "last_error": outcome.error,
    }  # fmt: skip
    if not outcome.error:
        return columns | {"state": DeliveryState.DELIVERED, "next_at": None, "delivered_at": now}
    # Deliveries that failed together are not retried at the same instant.
    jitter = secrets.randbelow(1000) / 1000
    delay = retry_schedule.get_retry_delay(attempts, jitter=jitter, at_least=outcome.retry_after)
    if delay is None or outcome.status == GONE:
        return columns | {"state": DeliveryState.FAILED, "next_at": None}
    return columns | {"state": DeliveryState.PENDING, "next_at": now + delay}


def update_endpoint(endpoint: WebhookEndpoint, outcome: DeliveryOutcome, now: dt.datetime) -> None:
    """Store what the attempt says about the receiver; disable the endpoint if it is time to."""
    rows = WebhookEndpoint.objects.filter(id=endpoint.id)
    if not outcome.error:
        if endpoint.failures:
            rows.update(failing_since=None, failures=0, quiet_until=None)
        return
    since, failures = endpoint.failing_since or now, endpoint.failures + 1
    quiet_until = now + retry_schedule.get_quiet_period(failures)
    rows.update(failing_since=since, failures=failures, quiet_until=quiet_until)
    if not endpoint.enabled:
        return
    if outcome.status == GONE:
        reason = "The receiver responded with 410: it wants no more deliveries."
    elif now - since >= retry_schedule.DISABLE_ENDPOINT_AFTER:
        reason = f"Every delivery failed for 5 days. The last error: {outcome.error}"
    else:
        return
    rows.update(
        enabled=False,
        disabled_at=now,
        disabled_reason=reason[:200],
        revision=F("revision") + 1,
        updated_at=now,
    )
    target = EventTarget("webhook_endpoint", endpoint.account_id, endpoint.id)
    record_event(WORKER, target, "webhook_endpoint.disabled", ["enabled"])
