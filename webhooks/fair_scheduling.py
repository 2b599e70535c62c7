"""Whose turn it is: the endpoints that have something due, and how much each may have under way.

What a worker can do at once is what it has under way and what it asks for beside. Of that, one
endpoint gets at most half, so that one that hangs leaves room for others before it is known to fail. Those
that are known to fail have one under way each; together they get at most half of the worker, and
an eighth of it before all others, so that they are found well again however busy the others are.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from common.db.clock import DbNow
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

MAX_IN_FLIGHT: Final = 8
"""Deliveries under way to one endpoint, over all workers."""

MAX_IN_FLIGHT_FAILING: Final = 1


@dataclass(frozen=True, slots=True)
class EndpointCapacity:
    """An endpoint that has something due, and how many more may be under way to it."""

    endpoint_id: uuid.UUID
    free_slots: int


@dataclass(frozen=True, slots=True)
class DeliverySchedule:
    """Who waited longest comes first. Of the failing, `least` go before the healthy, `most` in all."""

    healthy: list[EndpointCapacity]
    failing: list[EndpointCapacity]
    failing_minimum: int
    failing_maximum: int


def build_schedule(*, owner: str, limit: int) -> DeliverySchedule:
    """The turns for a worker that can do `limit` more than it has under way."""
    own = filter_in_flight().filter(lease_owner=owner)
    leases = list(own.values_list("endpoint_id", "endpoint__failing_since"))
    of_endpoint = Counter(endpoint_id for endpoint_id, _ in leases)
    failing_now = sum(since is not None for _, since in leases)
    threads = len(leases) + limit
    half = max(1, threads // 2)
    healthy, failing = [], []
    for id, failing_since, busy in _due_endpoints():
        if failing_since is None:
            healthy.append(EndpointCapacity(id, min(MAX_IN_FLIGHT - busy, half - of_endpoint[id])))
        else:
            failing.append(EndpointCapacity(id, MAX_IN_FLIGHT_FAILING - busy))
    return DeliverySchedule(
        [room for room in healthy if room.free_slots > 0],
        [room for room in failing if room.free_slots > 0],
        failing_minimum=max(0, threads // 8 - failing_now),
        failing_maximum=max(0, half - failing_now),
    )


def get_max_in_flight(endpoint: WebhookEndpoint) -> int:
    return MAX_IN_FLIGHT if endpoint.failing_since is None else MAX_IN_FLIGHT_FAILING


def filter_in_flight() -> QuerySet[WebhookDelivery]:
    """The deliveries that some worker has a lease on."""
    leased = WebhookDelivery.objects.filter(~Q(lease_owner=""), state=DeliveryState.PENDING)
    return leased.filter(next_at__gt=DbNow())


def filter_endpoints_with_pending() -> QuerySet[Any]:
    """The enabled endpoints with something pending, and when (`due`) the first of it is due."""
    pending = WebhookDelivery.objects.filter(
        endpoint_id=OuterRef("pk"), state=DeliveryState.PENDING, next_at__isnull=False
    )
    first = pending.order_by("next_at").values("next_at")[:1]
    found = WebhookEndpoint.objects.filter(enabled=True).annotate(due=Subquery(first))
    return found.exclude(due=None)


def _due_endpoints() -> list[tuple[uuid.UUID, dt.datetime | None, int]]:
    leased = (
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
        .annotate(under_way=Coalesce(Subquery(leased), 0))
        .order_by(F("served_at").asc(nulls_first=True), "id")
        .values_list("id", "failing_since", "under_way")
    )
