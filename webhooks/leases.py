"""Claims on deliveries: which worker sends which delivery.

The endpoint's row is locked while its deliveries are claimed or settled. The lock makes three things
exact for any number of workers: how many deliveries to the endpoint are in flight, which pending
delivery of an object is the first, and that the next one becomes due when the first has ended.
A lease is renewed and settled as `common.leases` describes.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from django.db import OperationalError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from common.db.clock import DbNow
from common.leases import Lease
from webhooks.fair_scheduling import (
    EndpointCapacity,
    build_schedule,
    filter_endpoints_with_pending,
    filter_in_flight,
    get_max_in_flight,
)
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

# Longer than one attempt, which takes 15 s at most.
LEASE_DURATION: Final = dt.timedelta(seconds=60)

_PAGE_SIZE: Final = 100
_MAX_PAGES: Final = 5


def claim_due_deliveries(
    *, owner: str, limit: int, goes_on: Callable[[uuid.UUID], bool] = lambda endpoint_id: False
) -> list[Lease[WebhookDelivery]]:
    """Claim at most `limit` due deliveries for `owner`, each for 60 seconds.

    The endpoints take turns (`webhooks.fair_scheduling`), so that a receiver that uses its whole
    timeout delays no other. `owner` is the worker's name, at most 64 characters; the deliveries that
    it has in flight count towards the limits of each endpoint. `goes_on`: see `build_schedule`.
    """
    schedule = build_schedule(owner=owner, limit=limit, goes_on=goes_on)
    leases = list(_claim_in_turn(schedule.failing, owner, min(limit, schedule.failing_minimum)))
    leases += _claim_in_turn(schedule.healthy, owner, limit - len(leases))
    served = {lease.row.endpoint_id for lease in leases}
    unserved = [each for each in schedule.failing if each.endpoint_id not in served]
    # The failing endpoints get what the healthy ones left, up to their share.
    failing_share = schedule.failing_maximum - (len(schedule.failing) - len(unserved))
    leases += _claim_in_turn(unserved, owner, min(limit - len(leases), failing_share))
    return leases


def find_next_due() -> dt.datetime | None:
    """Return when the next delivery is due; None if none is pending for an enabled endpoint.

    The time is in the past if a delivery is due but may not be sent yet, because its endpoint has
    its maximum in flight. A caller that could claim nothing should then wait a second or more.
    """
    pending = filter_endpoints_with_pending().values_list("due", "quiet_until")
    return min((max(due, quiet_until or due) for due, quiet_until in pending), default=None)


def unblock_next_delivery(
    endpoint_id: uuid.UUID, target_id: uuid.UUID, now: dt.datetime | None = None
) -> None:
    """Make due the delivery that waited until an earlier one of the same object had ended.

    `now` is the database's time that the caller has read.
    """
    pending = WebhookDelivery.objects.filter(
        endpoint_id=endpoint_id, target_id=target_id, state=DeliveryState.PENDING
    )
    first = pending.order_by("created_at", "id").values_list("id", "next_at").first()
    if first is not None and first[1] is None:
        pending.filter(id=first[0]).update(next_at=now or DbNow())


def _claim_in_turn(
    endpoints: list[EndpointCapacity], owner: str, limit: int
) -> Iterator[Lease[WebhookDelivery]]:
    """Claim equal shares for the endpoints until there are `limit`, or no endpoint has more."""
    while endpoints and limit > 0:
        share = -(-limit // len(endpoints))  # Rounded up.
        unfinished = []
        for endpoint in endpoints:
            count = min(share, endpoint.free_slots, limit)
            leases = _claim_of_endpoint(endpoint.endpoint_id, owner, count) if count > 0 else []
            yield from leases
            limit -= len(leases)
            if len(leases) == count and endpoint.free_slots > count:
                rest = EndpointCapacity(endpoint.endpoint_id, endpoint.free_slots - count)
                unfinished.append(rest)
        endpoints = unfinished


@transaction.atomic
def _claim_of_endpoint(
    endpoint_id: uuid.UUID, owner: str, count: int
) -> list[Lease[WebhookDelivery]]:
    endpoint = lock_endpoint(endpoint_id, skip_locked=True)
    # Another worker has the lock, or the endpoint was disabled.
    if endpoint is None or not endpoint.row.enabled:
        return []
    return claim_of_locked_endpoint(endpoint, owner, count)


class LockedEndpoint(NamedTuple):
    """An endpoint that is locked until the transaction ends, and the database's time."""

    row: WebhookEndpoint
    now: dt.datetime


def lock_endpoint(endpoint_id: uuid.UUID, *, skip_locked: bool = False) -> LockedEndpoint | None:
    """Lock an endpoint.

    Return None if there is none, or with `skip_locked` if another process has locked it.
    """
    rows = WebhookEndpoint.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    row = rows.filter(id=endpoint_id).annotate(now=DbNow()).first()
    return LockedEndpoint(row, row.now) if row else None


def claim_of_locked_endpoint(
    endpoint: LockedEndpoint, owner: str, count: int
) -> list[Lease[WebhookDelivery]]:
    """Claim at most `count` due deliveries of an endpoint that `lock_endpoint` has returned."""
    id, now = endpoint.row.id, endpoint.now
    in_flight = filter_in_flight().filter(endpoint_id=id).count()
    count = min(count, get_max_in_flight(endpoint.row) - in_flight)
    due = WebhookDelivery.objects.filter(
        endpoint_id=id, state=DeliveryState.PENDING, next_at__lte=now
    )
    rows = _find_sendable(id, due, now, count)
    if not rows:
        return []
    until = now + LEASE_DURATION
    changes = {"lease_owner": owner, "next_at": until, "fencing_number": F("fencing_number") + 1}
    # One statement for all, because the endpoint's lock excludes other claims.
    if due.filter(id__in=[row.id for row in rows]).update(**changes) != len(rows):
        raise OperationalError("A delivery has changed although its endpoint is locked.")
    WebhookEndpoint.objects.filter(id=id).update(served_at=now)
    return [Lease(row, owner, until, row.fencing_number + 1) for row in rows]


def _find_sendable(
    endpoint_id: uuid.UUID, due: QuerySet[WebhookDelivery], now: dt.datetime, count: int
) -> list[WebhookDelivery]:
    """Return at most `count` of the due deliveries, each the first pending one of its object.

    The others stop being due until `unblock_next_delivery`.
    """
    same_object = WebhookDelivery.objects.filter(
        endpoint_id=endpoint_id, target_id=OuterRef("target_id"), state=DeliveryState.PENDING
    )
    earlier = Q(created_at__lt=OuterRef("created_at")) | Q(
        created_at=OuterRef("created_at"), id__lt=OuterRef("id")
    )
    leased = same_object.filter(~Q(lease_owner=""), next_at__gt=now)
    candidates: QuerySet[Any] = due.annotate(
        has_earlier=Exists(same_object.filter(earlier)),
        # A later delivery may be in flight if this one was replayed in the meantime.
        has_other_in_flight=Exists(leased),
    ).order_by("next_at", "created_at", "id")
    # A page may hold blocked deliveries only. They are not due any more when the next one is read.
    for _ in range(_MAX_PAGES if count > 0 else 0):
        page = list(candidates[:_PAGE_SIZE])
        if blocked := [delivery.id for delivery in page if delivery.has_earlier]:
            WebhookDelivery.objects.filter(id__in=blocked).update(next_at=None, lease_owner="")
        sendable = [d for d in page if not d.has_earlier and not d.has_other_in_flight]
        if sendable or len(page) < _PAGE_SIZE:
            return sendable[:count]
    return []
