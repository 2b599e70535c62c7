"""Deliveries to a receiver that responds quickly: claimed, renewed and settled together.

A delivery by itself takes three transactions, which cost more than a quick receiver's response. So
the deliveries to such an endpoint that a worker claims at once are one piece of work: they are sent
one after the other, and their leases are renewed and settled by one transaction each. The one that
settles also claims the next ones. All are of different objects, because a claim finds only the first
pending delivery of each object (`webhooks.leases`).

A batch ends at the first failure or slow response, and after a second. What was not sent is due again
at once, for attempts of its own that run concurrently. A worker that is killed leaves leases that
expire: the receiver may then get the messages of one batch again, by the same ids.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.db import transaction

from common.leases import Lease
from egress import Request
from webhooks import delivery as attempts
from webhooks import leases as claims
from webhooks.delivery import DeliveryOutcome
from webhooks.fair_scheduling import MAX_IN_FLIGHT
from webhooks.models import DeliveryState, WebhookDelivery

QUICK_SECONDS: Final = 0.05
"""An endpoint is quick if the fastest of its recent responses took less."""
SLOW_SECONDS: Final = 0.25
"""A response that took longer ends the batch, so that the others of it need not wait."""
MAX_SECONDS: Final = 1.0
"""Of a batch with those that it goes on with. Then other endpoints are considered again."""

Batch = Sequence[Lease[WebhookDelivery]]
"""Leases of one endpoint and one owner."""

_fastest: Final[dict[uuid.UUID, float]] = {}
"""The seconds of the fastest recent response of each endpoint that has not failed since then.

Not the average: when many threads send, a response also waits for its thread's turn.
"""


def group_leases(leases: Batch) -> list[Batch]:
    """Return batches of leases: those of an endpoint that responded quickly, each other by itself."""
    by_endpoint: defaultdict[uuid.UUID, list[Lease[WebhookDelivery]]] = defaultdict(list)
    for lease in leases:
        by_endpoint[lease.row.endpoint_id].append(lease)
    batches: list[Batch] = []
    for endpoint_id, group in by_endpoint.items():
        batches += [group] if is_quick(endpoint_id) else [[lease] for lease in group]
    return batches


def attempt_batch(batch: Batch) -> None:
    """Make one attempt for each lease of the batch, and for what else is due at a quick endpoint.

    It takes a second at most, and as long as one attempt in addition to that. Must not be called in
    a transaction.
    """
    endpoint_id = batch[0].row.endpoint_id
    # Otherwise other threads have the rest, and each would go on with one delivery at a time.
    was_quick = is_quick(endpoint_id)
    deadline = time.monotonic() + MAX_SECONDS
    while batch:
        outcomes: dict[uuid.UUID, DeliveryOutcome] = {}
        goes_on = was_quick
        for id, request in _prepare_requests(endpoint_id, batch):
            began = time.monotonic()
            outcomes[id] = (
                attempts.send_webhook(request) if isinstance(request, Request) else request
            )
            seconds = time.monotonic() - began
            _record_speed(endpoint_id, outcomes[id], seconds)
            goes_on = (
                was_quick
                and is_quick(endpoint_id)
                and seconds < SLOW_SECONDS
                and time.monotonic() < deadline
            )
            if not goes_on:
                break
        batch = _settle(endpoint_id, batch, outcomes, goes_on=goes_on)


def is_quick(endpoint_id: uuid.UUID) -> bool:
    """Return True for an endpoint whose deliveries are sent in batches, one batch at a time."""
    return _fastest.get(endpoint_id, QUICK_SECONDS) < QUICK_SECONDS


def _record_speed(endpoint_id: uuid.UUID, outcome: DeliveryOutcome, seconds: float) -> None:
    if outcome.error:
        _fastest.pop(endpoint_id, None)
        return
    fastest = _fastest.get(endpoint_id, seconds)
    # It grows with each slower response, so that it is forgotten after some twenty of them.
    _fastest[endpoint_id] = min(seconds, fastest * 1.1)


def _prepare_requests(
    endpoint_id: uuid.UUID, batch: Batch
) -> Iterator[tuple[uuid.UUID, Request | DeliveryOutcome]]:
    """Return what is sent for each lease that was not lost, and let these leases begin now."""
    with transaction.atomic():
        endpoint = claims.lock_endpoint(endpoint_id)
        rows = _read_leased_rows(batch) if endpoint else {}
        if endpoint is None or not rows:
            return iter(())
        leased = WebhookDelivery.objects.filter(id__in=list(rows))
        if not endpoint.row.enabled:
            leased.update(next_at=endpoint.now, lease_owner="")
            return iter(())
        leased.update(next_at=endpoint.now + claims.LEASE_DURATION)
        keys = attempts.decrypt_signing_secrets(endpoint.row, endpoint.now)
    sender, now = endpoint
    return ((id, attempts.build_request(sender, row, now, keys)) for id, row in rows.items())


def _read_leased_rows(batch: Batch) -> dict[uuid.UUID, WebhookDelivery]:
    """Return the deliveries that still belong to the batch. Their endpoint is locked."""
    fencing_numbers = {lease.row.pk: lease.fencing_number for lease in batch}
    rows = WebhookDelivery.objects.filter(
        id__in=list(fencing_numbers), lease_owner=batch[0].owner, state=DeliveryState.PENDING
    )
    found = {row.pk: row for row in rows if row.fencing_number == fencing_numbers[row.pk]}
    return {id: found[id] for id in fencing_numbers if id in found}


@transaction.atomic
def _settle(
    endpoint_id: uuid.UUID,
    batch: Batch,
    outcomes: Mapping[uuid.UUID, DeliveryOutcome],
    *,
    goes_on: bool,
) -> Batch:
    """Store the outcomes, release what was not sent, and claim the next batch if it goes on."""
    endpoint = claims.lock_endpoint(endpoint_id)
    rows = _read_leased_rows(batch) if endpoint else {}
    if endpoint is None or not rows:
        return []
    _write_outcomes(rows, outcomes, endpoint.now)
    if unsent := [id for id in rows if id not in outcomes]:
        WebhookDelivery.objects.filter(id__in=unsent).update(next_at=endpoint.now, lease_owner="")
    sent = [outcome for outcome in outcomes.values() if outcome.blames_receiver]
    if sent:
        attempts.update_endpoint(endpoint.row, sent[-1], endpoint.now)
    if not goes_on or not endpoint.row.enabled:
        return []
    return claims.claim_of_locked_endpoint(endpoint, batch[0].owner, MAX_IN_FLIGHT)


def _write_outcomes(
    rows: Mapping[uuid.UUID, WebhookDelivery],
    outcomes: Mapping[uuid.UUID, DeliveryOutcome],
    now: dt.datetime,
) -> None:
    """Write the outcomes, most of which are equal, and make due what has waited for one of them."""
    writes: list[tuple[dict[str, Any], WebhookDelivery]] = [
        (attempts.build_columns(rows[id], outcome, now), rows[id])
        for id, outcome in outcomes.items()
        if id in rows
    ]
    for columns, group in itertools.groupby(writes, key=lambda write: write[0]):
        ids = [row.pk for _, row in group]
        WebhookDelivery.objects.filter(id__in=ids).update(lease_owner="", **columns)
    ended = [row for columns, row in writes if columns["state"] != DeliveryState.PENDING]
    if not ended:
        return
    blocked = WebhookDelivery.objects.filter(
        endpoint_id=ended[0].endpoint_id,
        target_id__in=[row.target_id for row in ended],
        state=DeliveryState.PENDING,
        next_at=None,
    )
    for target_id in blocked.values_list("target_id", flat=True).distinct():
        claims.unblock_next_delivery(ended[0].endpoint_id, target_id, now)
