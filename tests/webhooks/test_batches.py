"""Deliveries to a quick receiver, which are sent one after the other and settled together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.webhooks.conftest import make_endpoint
from tests.webhooks.work import enqueue, list_states
from webhooks import batches
from webhooks.batches import attempt_batch, group_leases
from webhooks.delivery import DeliveryOutcome
from webhooks.event_types import EVENT_TYPES
from webhooks.fair_scheduling import MAX_IN_FLIGHT
from webhooks.leases import claim_due_deliveries
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.tasks import DELIVERIES

KINDS = list(EVENT_TYPES)


@pytest.fixture(autouse=True)
def _no_speeds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no endpoint be known, and no response of this loaded machine be slow."""
    monkeypatch.setattr(batches, "QUICK_SECONDS", 100.0)
    monkeypatch.setattr(batches, "SLOW_SECONDS", 100.0)
    monkeypatch.setattr(batches, "MAX_SECONDS", 100.0)
    batches._fastest.clear()
    yield
    batches._fastest.clear()


@pytest.fixture
def quick(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    batches._fastest[endpoint.id] = 0.001
    return endpoint


def claim_batch(limit: int = 100) -> Any:
    (batch,) = group_leases(claim_due_deliveries(owner="a", limit=limit))
    return batch


def test_deliveries_to_an_unknown_endpoint_are_work_of_their_own(account, endpoint):
    for _ in range(3):
        enqueue(account)
    batches = group_leases(claim_due_deliveries(owner="a", limit=100))
    assert [len(batch) for batch in batches] == [1, 1, 1]


def test_an_endpoint_that_responded_quickly_gets_batches(account, endpoint, receiver):
    enqueue(account)
    attempt_batch(claim_batch())
    for _ in range(3):
        enqueue(account)
    assert len(claim_batch()) == 3


def test_slow_endpoint_gets_no_batches(account, quick, receiver, monkeypatch):
    monkeypatch.setattr(batches, "QUICK_SECONDS", 0.0)
    for _ in range(3):
        enqueue(account)
    assert len(group_leases(claim_due_deliveries(owner="a", limit=100))) == 3


def test_an_endpoint_that_becomes_slow_is_not_quick_for_long(endpoint, monkeypatch):
    monkeypatch.setattr(batches, "QUICK_SECONDS", 0.05)
    outcome = DeliveryOutcome(200)
    batches._record_speed(endpoint.id, outcome, 0.01)
    for _ in range(10):
        batches._record_speed(endpoint.id, outcome, 0.2)
    assert batches.is_quick(endpoint.id)
    for _ in range(10):
        batches._record_speed(endpoint.id, outcome, 0.2)
    assert not batches.is_quick(endpoint.id)


def test_a_worker_has_one_batch_of_an_endpoint_at_a_time(account, quick, receiver):
    enqueue(account)
    (batch,) = DELIVERIES.claim("a", 100)
    for _ in range(2):
        enqueue(account)
    assert DELIVERIES.claim("a", 100) == []
    (other,) = DELIVERIES.claim("b", 1)
    assert len(other) == 1
    DELIVERIES.run(batch)
    DELIVERIES.run(other)
    assert list_states() == ["delivered"] * 3


def test_batch_goes_on_until_nothing_is_due(account, quick, receiver):
    for _ in range(3 * MAX_IN_FLIGHT):
        enqueue(account)
    batch = claim_batch()
    assert len(batch) == MAX_IN_FLIGHT
    attempt_batch(batch)
    assert list_states() == ["delivered"] * 3 * MAX_IN_FLIGHT
    assert len({request.id for request in receiver.requests}) == 3 * MAX_IN_FLIGHT
    assert receiver.max_in_flight == 1
    rows = WebhookDelivery.objects.values_list("attempts", "last_status", "lease_owner")
    assert set(rows) == {(1, 200, "")}


def test_batch_ends_after_its_time(account, quick, receiver, monkeypatch):
    monkeypatch.setattr(batches, "MAX_SECONDS", 0.0)
    for _ in range(3):
        enqueue(account)
    attempt_batch(claim_batch())
    assert sorted(list_states()) == ["delivered", "pending", "pending"]
    assert len(claim_batch()) == 2


def test_batches_keep_the_order_of_each_object(account, quick, receiver):
    targets = [enqueue(account, KINDS[0]) for _ in range(5)]
    for kind in KINDS[1:4]:
        for target in targets:
            enqueue(account, kind, target)
    attempt_batch(claim_batch())
    assert set(list_states()) == {"delivered"}
    for target in targets:
        sent = [each.payload["type"] for each in receiver.requests if each.target == str(target)]
        assert sent == KINDS[:4]


def test_a_failure_ends_the_batch_and_releases_the_rest(account, quick, receiver):
    for _ in range(5):
        enqueue(account)
    receiver.decide = lambda payload: 500 if len(receiver.requests) == 2 else 200
    attempt_batch(claim_batch())
    assert sorted(list_states()) == ["delivered"] * 2 + ["pending"] * 3
    failed = WebhookDelivery.objects.get(last_status=500)
    assert (failed.state, failed.attempts) == ("pending", 1)
    released = WebhookDelivery.objects.filter(state="pending", attempts=0)
    assert {(row.lease_owner, row.next_at is None) for row in released} == {("", False)}
    quick.refresh_from_db()
    assert quick.failures == 1
    # An endpoint that fails gets one at a time.
    assert len(claim_due_deliveries(owner="a", limit=100)) <= 1


def test_a_lost_lease_is_neither_sent_nor_settled(account, quick, receiver, shift):
    for _ in range(2):
        enqueue(account)
    first = claim_batch()
    shift(61)
    second = claim_batch()
    attempt_batch(first)
    assert receiver.requests == []
    attempt_batch(second)
    assert list_states() == ["delivered", "delivered"]


def test_nothing_is_sent_to_a_disabled_endpoint(account, quick, receiver):
    enqueue(account)
    batch = claim_batch()
    WebhookEndpoint.objects.update(enabled=False)
    attempt_batch(batch)
    assert (receiver.requests, list_states()) == ([], ["pending"])


def test_nothing_is_sent_to_a_deleted_endpoint(account, quick, receiver):
    enqueue(account)
    batch = claim_batch()
    WebhookEndpoint.objects.all().delete()
    attempt_batch(batch)
    assert receiver.requests == []


def test_batches_of_two_endpoints_are_two(account, quick, receiver):
    other = make_endpoint(account, receiver)
    batches._fastest[other.id] = 0.001
    for _ in range(2):
        enqueue(account)
    found = group_leases(claim_due_deliveries(owner="a", limit=100))
    assert sorted(len(batch) for batch in found) == [2, 2]
