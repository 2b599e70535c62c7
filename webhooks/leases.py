"""Who sends what: due deliveries are claimed one by one, under a lease with a fencing number.

The endpoint's row is locked while its deliveries are claimed or settled. That makes three things
exact, however many workers there are: how many it has under way, which delivery of an object is the
first, and that the next one wakes when the first is done. The claim itself is an UPDATE whose row
count decides, and does not rest on the lock.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from common.db.clock import DbNow
from webhooks.fair_scheduling import (
    EndpointCapacity,
    build_schedule,
    filter_endpoints_with_pending,
    filter_in_flight,
    get_max_in_flight,
)
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

LEASE_DURATION: Final = dt.timedelta(seconds=60)
"""It outlives one attempt, which takes 15 s at most."""

_LOOKED_AT: Final = 100
_LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """The right to send one delivery until its lease ends: `fence` proves it."""

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    owner: str
    fence: int

    def filter_claimed(self) -> QuerySet[WebhookDelivery]:
        """The delivery, if it is still this claim's."""
        return WebhookDelivery.objects.filter(
            id=self.delivery_id,
            state=DeliveryState.PENDING,
            lease_owner=self.owner,
            fence=self.fence,
        )


def claim_due_deliveries(*, owner: str, limit: int) -> list[DeliveryClaim]:
    """At most `limit` deliveries to send now, each claimed for `owner` for a minute.

    The endpoints take turns (webhooks.fair_scheduling), so that a receiver that takes every second of its time
    never delays one that answers. `owner` is the worker's name, at most 64 characters: what it has
    under way already is counted.
    """
    found = build_schedule(owner=owner, limit=limit)
    claims = list(_shared(found.failing, owner, min(limit, found.failing_minimum)))
    claims += _shared(found.healthy, owner, limit - len(claims))
    first = {claim.endpoint_id for claim in claims}
    others = [room for room in found.failing if room.endpoint_id not in first]
    failing = sum(room.endpoint_id in first for room in found.failing)
    return [
        *claims,
        *_shared(others, owner, min(limit - len(claims), found.failing_maximum - failing)),
    ]


def find_next_due() -> dt.datetime | None:
    """When the next delivery is due; None if none is pending for an enabled endpoint.

    It lies in the past where something is due that may not be sent yet, because its endpoint has as
    many under way as it may: a caller that could claim nothing waits for a second or more.
    """
    found = filter_endpoints_with_pending().values_list("due", "quiet_until")
    return min((max(due, quiet or due) for due, quiet in found), default=None)


def unblock_next_delivery(endpoint_id: uuid.UUID, target_id: uuid.UUID) -> None:
    """Make due what waited for an earlier delivery of the same object, which is done now."""
    waiting = WebhookDelivery.objects.filter(
        endpoint_id=endpoint_id, target_id=target_id, state=DeliveryState.PENDING
    )
    first = waiting.order_by("created_at", "id").values_list("id", "next_at").first()
    if first is not None and first[1] is None:
        waiting.filter(id=first[0]).update(next_at=DbNow())


def _shared(rooms: list[EndpointCapacity], owner: str, limit: int) -> Iterator[DeliveryClaim]:
    """Claims for the endpoints in turn, until there are `limit` or none has more."""
    while rooms and limit > 0:
        share = -(-limit // len(rooms))
        unsated = []
        for room in rooms:
            wanted = min(share, room.free_slots, limit)
            got = _claim_of(room.endpoint_id, owner, wanted) if wanted > 0 else []
            yield from got
            limit -= len(got)
            if len(got) == wanted and room.free_slots > wanted:
                unsated.append(EndpointCapacity(room.endpoint_id, room.free_slots - wanted))
        rooms = unsated


@transaction.atomic
def _claim_of(endpoint_id: uuid.UUID, owner: str, count: int) -> list[DeliveryClaim]:
    endpoint = (
        WebhookEndpoint.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(id=endpoint_id, enabled=True)
        .annotate(now=DbNow())
        .first()
    )
    if endpoint is None:  # Another worker is at it, or it was disabled.
        return []
    busy = filter_in_flight().filter(endpoint_id=endpoint_id).count()
    count = min(count, get_max_in_flight(endpoint) - busy)
    claims = _claimed(_firsts(endpoint_id, endpoint.now, count), endpoint.now, owner)
    if claims:
        WebhookEndpoint.objects.filter(id=endpoint_id).update(served_at=endpoint.now)
    return claims


def _firsts(endpoint_id: uuid.UUID, now: dt.datetime, count: int) -> list[WebhookDelivery]:
    """At most `count` due deliveries, each the first of its object; the others are told to wait."""
    for _ in range(_LOOKS if count > 0 else 0):
        due = list(_due(endpoint_id, now)[:_LOOKED_AT])
        later = [delivery.id for delivery in due if delivery.has_earlier]
        if later:
            WebhookDelivery.objects.filter(id__in=later).update(next_at=None, lease_owner="")
        firsts = [d for d in due if not d.has_earlier and not d.has_other_under_way]
        if firsts or len(due) < _LOOKED_AT:
            return firsts[:count]
    return []


def _due(endpoint_id: uuid.UUID, now: dt.datetime) -> QuerySet[Any]:
    same_object = WebhookDelivery.objects.filter(
        endpoint_id=endpoint_id, target_id=OuterRef("target_id"), state=DeliveryState.PENDING
    )
    earlier = Q(created_at__lt=OuterRef("created_at")) | Q(
        created_at=OuterRef("created_at"), id__lt=OuterRef("id")
    )
    sent_now = same_object.filter(~Q(lease_owner=""), next_at__gt=now)
    return (
        WebhookDelivery.objects.filter(
            endpoint_id=endpoint_id, state=DeliveryState.PENDING, next_at__lte=now
        )
        .annotate(
            has_earlier=Exists(same_object.filter(earlier)),
            # A later one that is being sent: this one was replayed meanwhile.
            has_other_under_way=Exists(sent_now),
        )
        .order_by("next_at", "created_at", "id")
    )


def _claimed(
    deliveries: Iterable[WebhookDelivery], now: dt.datetime, owner: str
) -> list[DeliveryClaim]:
    claims = []
    for delivery in deliveries:
        free = WebhookDelivery.objects.filter(
            id=delivery.id, state=DeliveryState.PENDING, next_at__lte=now, fence=delivery.fence
        )
        taken = free.update(
            next_at=now + LEASE_DURATION,
            lease_owner=owner,
            fence=F("fence") + 1,
            attempts=F("attempts") + 1,
        )
        if taken == 1:
            claims.append(
                DeliveryClaim(delivery.id, delivery.endpoint_id, owner, delivery.fence + 1)
            )
    return claims
