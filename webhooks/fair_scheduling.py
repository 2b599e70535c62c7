"""Fair scheduling: how many deliveries of each endpoint a worker may claim next.

A worker's capacity is what it has in flight and what it asks for now. One endpoint gets at most half
of the capacity, so that an endpoint that hangs leaves slots for others even before it is known to
fail. Endpoints that are known to fail get one slot each. Together they get at most half of the
capacity, and an eighth of it before all others: however busy the others are, a receiver that
recovered is found out.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from common.db.clock import DbNow
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

# Deliveries in flight to one endpoint, over all workers.
MAX_IN_FLIGHT: Final = 8
MAX_IN_FLIGHT_FAILING: Final = 1


@dataclass(frozen=True, slots=True)
class EndpointCapacity:
    """An endpoint with due deliveries, and how many more may be in flight to it."""

    endpoint_id: uuid.UUID
    free_slots: int


@dataclass(frozen=True, slots=True)
class DeliverySchedule:
    """The endpoints with due deliveries, the one that has waited longest first.

    `failing_minimum` deliveries to failing endpoints go before the healthy ones;
    `failing_maximum` is the most that they get in all.
    """

    healthy: list[EndpointCapacity]
    failing: list[EndpointCapacity]
    failing_minimum: int
    failing_maximum: int


def build_schedule(
    *, owner: str, limit: int, goes_on: Callable[[uuid.UUID], bool] = lambda endpoint_id: False
) -> DeliverySchedule:
    """Return the schedule for a worker that can send `limit` more than it has in flight.

    `goes_on` returns True if the worker, while it has a delivery to this endpoint in flight, claims the
    next ones by itself.
    """
    leased = filter_in_flight().filter(lease_owner=owner)
    leases = list(leased.values_list("endpoint_id", "endpoint__failing_since"))
    in_flight_by_endpoint = Counter(endpoint_id for endpoint_id, _ in leases)
    failing_in_flight = sum(since is not None for _, since in leases)
    capacity = len(leases) + limit
    half = max(1, capacity // 2)
    healthy, failing = [], []
    for id, failing_since, in_flight in _find_due_endpoints():
        if in_flight_by_endpoint[id] and goes_on(id):
            continue
        if failing_since is None:
            free = min(MAX_IN_FLIGHT - in_flight, half - in_flight_by_endpoint[id])
            healthy.append(EndpointCapacity(id, free))
        else:
            failing.append(EndpointCapacity(id, MAX_IN_FLIGHT_FAILING - in_flight))
    return DeliverySchedule(
        [endpoint for endpoint in healthy if endpoint.free_slots > 0],
        [endpoint for endpoint in failing if endpoint.free_slots > 0],
        failing_minimum=max(0, capacity // 8 - failing_in_flight),
        failing_maximum=max(0, half - failing_in_flight),
    )


def get_max_in_flight(endpoint: WebhookEndpoint) -> int:
    return MAX_IN_FLIGHT if endpoint.failing_since is None else MAX_IN_FLIGHT_FAILING


def filter_in_flight() -> QuerySet[WebhookDelivery]:
    """Return the deliveries that a worker has a lease on."""
    leased = WebhookDelivery.objects.filter(~Q(lease_owner=""), state=DeliveryState.PENDING)
    return leased.filter(next_at__gt=DbNow())


def filter_endpoints_with_pending() -> QuerySet[Any]:
    """Return the enabled endpoints with a pending delivery; `due` is when the first is due."""
    pending = WebhookDelivery.objects.filter(
        endpoint_id=OuterRef("pk"), state=DeliveryState.PENDING, next_at__isnull=False
    )
    # The first row of the index, because Min() would read all pending rows of the endpoint.
    first = pending.order_by("next_at").values("next_at")[:1]
    endpoints = WebhookEndpoint.objects.filter(enabled=True).annotate(due=Subquery(first))
    return endpoints.exclude(due=None)


def _find_due_endpoints() -> list[tuple[uuid.UUID, dt.datetime | None, int]]:
    """Return the id, `failing_since` and number in flight of each endpoint with due deliveries."""
    in_flight = (
        filter_in_flight()
        .filter(endpoint_id=OuterRef("pk"))
        .order_by()
        .values("endpoint_id")
        .annotate(count=Count("pk"))
        .values("count")
    )
    return list(
        filter_endpoints_with_pending()
        .filter(Q(quiet_until=None) | Q(quiet_until__lte=DbNow()), due__lte=DbNow())
        .annotate(in_flight=Coalesce(Subquery(in_flight), 0))
        .order_by(F("served_at").asc(nulls_first=True), "id")
        .values_list("id", "failing_since", "in_flight")
    )
