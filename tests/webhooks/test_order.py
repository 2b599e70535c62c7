"""In order for each object, in turns between endpoints."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.factories import TESTER, make_account
from tests.webhooks.conftest import make_endpoint
from tests.webhooks.work import states, told, work
from webhooks import delivery as deliveries
from webhooks import leases as claiming
from webhooks.fair_scheduling import AT_ONCE
from webhooks.leases import Claim, claim_due
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.services import delivery_replay

KINDS = ["credential.created", "credential.updated", "credential.deleted"]


def per_target(heard) -> dict[str, list[str]]:
    found = defaultdict(list)
    for each in heard:
        found[each.target].append(each.payload["type"])
    return dict(found)


def test_a_later_one_of_the_same_object_waits(account, endpoint, receiver, shift):
    receiver.status = 500
    target = told(account, KINDS[0])
    told(account, KINDS[1], target)
    assert work() == 1
    assert per_target(receiver.heard) == {str(target): [KINDS[0]]}
    receiver.status = 200
    shift(6)
    assert work() == 2
    assert per_target(receiver.accepted) == {str(target): KINDS[:2]}


def test_other_objects_do_not_wait(account, endpoint, receiver):
    stuck = told(account)
    receiver.decide = lambda payload: 500 if payload["data"]["id"] == str(stuck) else 200
    for _ in range(3):
        told(account, target=stuck)
        told(account)
    work()
    assert Counter(states()) == {"pending": 4, "delivered": 3}


def test_a_later_one_goes_when_the_earlier_is_given_up(account, endpoint, receiver, shift):
    receiver.decide = lambda payload: 500 if payload["type"] == KINDS[0] else 200
    target = told(account, KINDS[0])
    told(account, KINDS[1], target)
    work()
    WebhookDelivery.objects.filter(type=KINDS[0]).update(attempts=9)
    shift(6)
    work()
    shift(12)
    work()
    assert states() == ["failed", "delivered"]


def test_no_two_of_one_object_are_claimed_at_once(account, endpoint):
    target = told(account)
    told(account, target=target)
    assert len(claim_due(owner="a", limit=10)) == 1
    assert claim_due(owner="b", limit=10) == []


def test_a_replayed_one_waits_for_a_later_one_that_is_under_way(account, endpoint, receiver):
    target = told(account, KINDS[0])
    work()
    first = WebhookDelivery.objects.get()
    told(account, KINDS[1], target)
    (claim,) = claim_due(owner="a", limit=10)
    delivery_replay(account_id=account.id, endpoint_id=endpoint.id, id=first.id, actor=TESTER)
    assert claim_due(owner="b", limit=10) == []
    deliveries.deliver(claim)
    assert work() == 1


def test_many_that_wait_do_not_hide_one_that_may_go(account, endpoint, receiver, monkeypatch):
    monkeypatch.setattr(claiming, "_LOOKED_AT", 2)
    receiver.status = 500
    target = told(account)
    for _ in range(7):
        told(account, target=target)
    other = told(account)
    work()
    assert str(other) in per_target(receiver.heard)


def test_endpoints_take_turns(account, receiver):
    busy, calm = (make_endpoint(account, receiver, events=[kind]) for kind in KINDS[:2])
    for _ in range(50):
        told(account, KINDS[0])
    told(account, KINDS[1])
    found = Counter(claim.endpoint_id for claim in claim_due(owner="a", limit=8))
    assert found == {busy.id: 4, calm.id: 1}


def test_who_waited_longest_is_next(account, receiver):
    made = [make_endpoint(account, receiver) for _ in range(4)]
    for _ in range(4):
        told(account)
    order = [claim_due(owner="a", limit=1)[0].endpoint_id for _ in range(8)]
    assert set(order[:4]) == {endpoint.id for endpoint in made}
    assert order[4:] == order[:4]


def test_no_endpoint_has_more_than_its_share_under_way(account, endpoint):
    for _ in range(AT_ONCE + 5):
        told(account)
    assert len(claim_due(owner="a", limit=100)) == AT_ONCE
    assert claim_due(owner="b", limit=100) == []


def test_a_worker_gives_one_endpoint_at_most_half(account, endpoint):
    for _ in range(10):
        told(account)
    assert len(claim_due(owner="a", limit=6)) == 3
    assert len(claim_due(owner="a", limit=3)) == 0
    assert len(claim_due(owner="b", limit=6)) == 3


@pytest.fixture
def dead_and_live(receiver):
    """Six endpoints that fail, and one that does not, each with ten to be told of."""
    dead = []
    for _ in range(6):
        account = make_account()
        dead.append(make_endpoint(account, receiver).id)
        told(account)
    WebhookEndpoint.objects.update(failing_since="2026-01-01T00:00:00Z")
    account = make_account()
    live = make_endpoint(account, receiver)
    for _ in range(10):
        told(account)
    return dead, live.id


def test_failing_endpoints_come_last(db, dead_and_live):
    dead, live = dead_and_live
    found = [claim.endpoint_id for claim in claim_due(owner="a", limit=4)]
    assert found == [live, live, *dead[:2]]


def test_an_eighth_is_for_failing_endpoints_before_all_others(db, dead_and_live):
    dead, live = dead_and_live
    found = [claim.endpoint_id for claim in claim_due(owner="a", limit=8)]
    assert found == [dead[0], *[live] * 4, *dead[1:4]]


def test_failing_endpoints_get_no_more_than_half(db, dead_and_live):
    _, live = dead_and_live
    WebhookEndpoint.objects.filter(id=live).update(enabled=False)
    assert len(claim_due(owner="a", limit=6)) == 3
    assert claim_due(owner="a", limit=3) == []
    assert len(claim_due(owner="b", limit=100)) == 3


def test_one_that_is_down_is_not_asked_for_each_delivery(account, endpoint, receiver, shift):
    receiver.status = 503
    for _ in range(200):
        told(account)
    for second in range(60):
        shift(second)
        work(limit=20)
    # A first round of eight; then one at a time, with pauses that grow.
    assert len(receiver.heard) <= AT_ONCE + 10
    receiver.status = 200
    shift(3600)
    work(limit=20)
    assert set(states()) == {"delivered"}


def test_an_hour_of_silence_loses_nothing_and_keeps_the_order(account, endpoint, receiver, shift):
    receiver.status = 503
    targets = [uuid.uuid4() for _ in range(4)]
    for minute in range(0, 60, 10):
        shift(minute * 60)
        for target in targets:
            told(account, KINDS[0] if minute == 0 else KINDS[1], target)
        work()
    receiver.status = 200
    for minute in range(60, 240, 5):
        shift(minute * 60)
        work()
    assert set(states()) == {"delivered"}
    expected = [KINDS[0]] + [KINDS[1]] * 5
    assert per_target(receiver.accepted) == {str(target): expected for target in targets}
    bodies = defaultdict(set)
    for heard in receiver.heard:
        bodies[heard.id].add(heard.body)
    assert len(bodies) == 24
    assert {len(found) for found in bodies.values()} == {1}


@pytest.mark.django_db(transaction=True)
def test_a_receiver_that_takes_all_its_time_does_not_delay_one_that_answers(
    make_receiver,
):
    account = make_account()
    dead, live = make_receiver(), make_receiver()
    dead.seconds = 10
    make_endpoint(account, dead, events=[KINDS[0]])
    make_endpoint(account, live, events=[KINDS[1]])
    for _ in range(30):
        told(account, KINDS[0])
        told(account, KINDS[1])

    def attempt(claim: Claim) -> None:
        try:
            deliveries.deliver(claim)
        finally:
            connection.close()
            free.release()

    free = threading.Semaphore(4)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        while len(live.heard) < 30 and time.monotonic() - began < 9:
            free.acquire()
            room = 1
            while free.acquire(blocking=False):
                room += 1
            claims = claim_due(owner="w", limit=room)
            for _ in range(room - len(claims)):
                free.release()
            for claim in claims:
                pool.submit(attempt, claim)
            if not claims:
                time.sleep(0.02)
        told_of_both = len(live.accepted), len(dead.heard)
        dead.__exit__()  # So that nobody waits for it any longer.
    assert told_of_both == (30, 0)
