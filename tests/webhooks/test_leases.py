"""Claims: in order for each object, fair between endpoints."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from common.leases import Lease
from tests.factories import TESTER, make_account
from tests.webhooks.conftest import make_endpoint
from tests.webhooks.work import enqueue, list_states, run_worker
from webhooks import delivery as deliveries
from webhooks import leases as claiming
from webhooks.fair_scheduling import MAX_IN_FLIGHT
from webhooks.leases import claim_due_deliveries
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.services import delivery_replay

KINDS = ["credential.created", "credential.updated", "credential.deleted"]


def group_by_target(request) -> dict[str, list[str]]:
    found = defaultdict(list)
    for each in request:
        found[each.target].append(each.payload["type"])
    return dict(found)


def test_later_delivery_of_the_same_object_waits(account, endpoint, receiver, shift):
    receiver.status = 500
    target = enqueue(account, KINDS[0])
    enqueue(account, KINDS[1], target)
    assert run_worker() == 1
    assert group_by_target(receiver.requests) == {str(target): [KINDS[0]]}
    receiver.status = 200
    shift(6)
    assert run_worker() == 2
    assert group_by_target(receiver.accepted) == {str(target): KINDS[:2]}


def test_other_objects_do_not_wait(account, endpoint, receiver):
    stuck = enqueue(account)
    receiver.decide = lambda payload: 500 if payload["data"]["id"] == str(stuck) else 200
    for _ in range(3):
        enqueue(account, target=stuck)
        enqueue(account)
    run_worker()
    assert Counter(list_states()) == {"pending": 4, "delivered": 3}


def test_later_delivery_is_sent_after_the_earlier_has_failed(account, endpoint, receiver, shift):
    receiver.decide = lambda payload: 500 if payload["type"] == KINDS[0] else 200
    target = enqueue(account, KINDS[0])
    enqueue(account, KINDS[1], target)
    run_worker()
    WebhookDelivery.objects.filter(type=KINDS[0]).update(attempts=9)
    shift(6)
    run_worker()
    shift(12)
    run_worker()
    assert list_states() == ["failed", "delivered"]


def test_no_two_of_one_object_are_claimed_at_once(account, endpoint):
    target = enqueue(account)
    enqueue(account, target=target)
    assert len(claim_due_deliveries(owner="a", limit=10)) == 1
    assert claim_due_deliveries(owner="b", limit=10) == []


def test_replayed_delivery_waits_for_a_later_one_in_flight(account, endpoint, receiver):
    target = enqueue(account, KINDS[0])
    run_worker()
    first = WebhookDelivery.objects.get()
    enqueue(account, KINDS[1], target)
    (claim,) = claim_due_deliveries(owner="a", limit=10)
    delivery_replay(account_id=account.id, endpoint_id=endpoint.id, id=first.id, actor=TESTER)
    assert claim_due_deliveries(owner="b", limit=10) == []
    deliveries.attempt_delivery(claim)
    assert run_worker() == 1


def test_many_blocked_deliveries_do_not_hide_a_sendable_one(
    account, endpoint, receiver, monkeypatch
):
    monkeypatch.setattr(claiming, "_PAGE_SIZE", 2)
    receiver.status = 500
    target = enqueue(account)
    for _ in range(7):
        enqueue(account, target=target)
    other = enqueue(account)
    run_worker()
    assert str(other) in group_by_target(receiver.requests)


def test_endpoints_take_turns(account, receiver):
    busy, calm = (make_endpoint(account, receiver, events=[kind]) for kind in KINDS[:2])
    for _ in range(50):
        enqueue(account, KINDS[0])
    enqueue(account, KINDS[1])
    found = Counter(claim.row.endpoint_id for claim in claim_due_deliveries(owner="a", limit=8))
    assert found == {busy.id: 4, calm.id: 1}


def test_endpoint_that_waited_longest_is_next(account, receiver):
    made = [make_endpoint(account, receiver) for _ in range(4)]
    for _ in range(4):
        enqueue(account)
    order = [claim_due_deliveries(owner="a", limit=1)[0].row.endpoint_id for _ in range(8)]
    assert set(order[:4]) == {endpoint.id for endpoint in made}
    assert order[4:] == order[:4]


def test_endpoint_has_at_most_its_share_in_flight(account, endpoint):
    for _ in range(MAX_IN_FLIGHT + 5):
        enqueue(account)
    assert len(claim_due_deliveries(owner="a", limit=100)) == MAX_IN_FLIGHT
    assert claim_due_deliveries(owner="b", limit=100) == []


def test_a_worker_gives_one_endpoint_at_most_half(account, endpoint):
    for _ in range(10):
        enqueue(account)
    assert len(claim_due_deliveries(owner="a", limit=6)) == 3
    assert len(claim_due_deliveries(owner="a", limit=3)) == 0
    assert len(claim_due_deliveries(owner="b", limit=6)) == 3


@pytest.fixture
def dead_and_live(receiver):
    """Make six endpoints that fail, and one that works, with due deliveries each."""
    dead = []
    for _ in range(6):
        account = make_account()
        dead.append(make_endpoint(account, receiver).id)
        enqueue(account)
    WebhookEndpoint.objects.update(failing_since="2026-01-01T00:00:00Z")
    account = make_account()
    live = make_endpoint(account, receiver)
    for _ in range(10):
        enqueue(account)
    return dead, live.id


def test_failing_endpoints_come_last(db, dead_and_live):
    dead, live = dead_and_live
    found = [claim.row.endpoint_id for claim in claim_due_deliveries(owner="a", limit=4)]
    assert found == [live, live, *dead[:2]]


def test_an_eighth_is_for_failing_endpoints_before_all_others(db, dead_and_live):
    dead, live = dead_and_live
    found = [claim.row.endpoint_id for claim in claim_due_deliveries(owner="a", limit=8)]
    assert found == [dead[0], *[live] * 4, *dead[1:4]]


def test_failing_endpoints_get_no_more_than_half(db, dead_and_live):
    _, live = dead_and_live
    WebhookEndpoint.objects.filter(id=live).update(enabled=False)
    assert len(claim_due_deliveries(owner="a", limit=6)) == 3
    assert claim_due_deliveries(owner="a", limit=3) == []
    assert len(claim_due_deliveries(owner="b", limit=100)) == 3


def test_receiver_that_is_down_does_not_get_each_delivery(account, endpoint, receiver, shift):
    receiver.status = 503
    for _ in range(60):
        enqueue(account)
    for second in range(60):
        shift(second)
        run_worker(limit=20)
    # A first round of eight; then one at a time, with pauses that grow.
    assert len(receiver.requests) <= MAX_IN_FLIGHT + 10
    receiver.status = 200
    shift(3600)
    run_worker(limit=20)
    assert set(list_states()) == {"delivered"}


def test_an_hour_of_silence_loses_nothing_and_keeps_the_order(account, endpoint, receiver, shift):
    receiver.status = 503
    targets = [uuid.uuid4() for _ in range(4)]
    for minute in range(0, 60, 10):
        shift(minute * 60)
        for target in targets:
            enqueue(account, KINDS[0] if minute == 0 else KINDS[1], target)
        run_worker()
    receiver.status = 200
    for minute in range(60, 240, 5):
        shift(minute * 60)
        run_worker()
    assert set(list_states()) == {"delivered"}
    expected = [KINDS[0]] + [KINDS[1]] * 5
    assert group_by_target(receiver.accepted) == {str(target): expected for target in targets}
    bodies = defaultdict(set)
    for request in receiver.requests:
        bodies[request.id].add(request.body)
    assert len(bodies) == 24
    assert {len(found) for found in bodies.values()} == {1}


@pytest.mark.django_db(transaction=True)
def test_slow_receiver_does_not_delay_a_fast_one(
    make_receiver,
):
    account = make_account()
    dead, live = make_receiver(), make_receiver()
    dead.seconds = 10
    make_endpoint(account, dead, events=[KINDS[0]])
    make_endpoint(account, live, events=[KINDS[1]])
    for _ in range(30):
        enqueue(account, KINDS[0])
        enqueue(account, KINDS[1])

    def attempt(claim: Lease[WebhookDelivery]) -> None:
        try:
            deliveries.attempt_delivery(claim)
        finally:
            connection.close()
            free.release()

    free = threading.Semaphore(4)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        while len(live.requests) < 30 and time.monotonic() - began < 9:
            free.acquire()
            room = 1
            while free.acquire(blocking=False):
                room += 1
            claims = claim_due_deliveries(owner="w", limit=room)
            for _ in range(room - len(claims)):
                free.release()
            for claim in claims:
                pool.submit(attempt, claim)
            if not claims:
                time.sleep(0.02)
        told_of_both = len(live.accepted), len(dead.requests)
        dead.__exit__()  # So that nobody waits for it any longer.
    assert told_of_both == (30, 0)
