"""Attempts: what is sent, and what follows from the response."""

from __future__ import annotations

import datetime as dt
import email.utils
import time

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from standardwebhooks.webhooks import Webhook

from common.db.clock import db_now
from egress import Timeouts
from events.models import Event
from tests.factories import TESTER, make_account
from tests.webhooks.conftest import make_endpoint, make_endpoint_and_secret
from tests.webhooks.work import enqueue, get_only_delivery, list_states, run_worker
from vault.sealing import SealedValue
from webhooks import delivery as deliveries
from webhooks.leases import claim_due_deliveries, find_next_due
from webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from webhooks.retry_schedule import MAX_ATTEMPTS, RETRY_DELAYS
from webhooks.services import delivery_replay, endpoint_update, secret_rotate


def fresh(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(id=endpoint.id)


def wait_of(delivery: WebhookDelivery) -> float:
    assert delivery.next_at is not None
    return (delivery.next_at - db_now()).total_seconds()


def test_the_reference_library_verifies_what_is_sent(account, receiver):
    _, secret = make_endpoint_and_secret(account, receiver)
    target = enqueue(account)
    assert run_worker() == 1
    (request,) = receiver.requests
    shown = Webhook(secret).verify(request.body, request.headers)
    assert shown["type"] == "credential.updated"
    assert shown["data"] == {"id": str(target), "account_id": str(account.id)}
    assert set(shown) == {"type", "timestamp", "data"}
    assert shown["timestamp"].endswith("Z")
    assert request.headers["content-type"] == "application/json"


def test_accepted_delivery_is_delivered(account, endpoint, receiver):
    enqueue(account)
    run_worker()
    done = get_only_delivery()
    assert (done.state, done.last_status, done.last_error) == ("delivered", 200, "")
    assert done.delivered_at is not None
    assert done.next_at is None
    assert run_worker() == 0


@pytest.mark.parametrize("status", [301, 308, 400, 404, 500, 503])
def test_another_status_is_retried_in_five_seconds(account, endpoint, receiver, status):
    receiver.status = status
    enqueue(account)
    run_worker()
    waiting = get_only_delivery()
    assert (waiting.state, waiting.last_status) == ("pending", status)
    assert 0 < wait_of(waiting) <= 5.5
    assert len(receiver.requests) == 1


def test_response_body_is_not_stored(account, endpoint, receiver):
    receiver.status, receiver.body = 500, b"your key is hunter2"
    enqueue(account)
    run_worker()
    assert "hunter2" not in repr(WebhookDelivery.objects.values().get())


def test_unreachable_receiver_is_retried(account, endpoint, receiver):
    receiver.__exit__(None, None, None)
    enqueue(account)
    run_worker()
    waiting = get_only_delivery()
    assert (waiting.state, waiting.last_status) == ("pending", None)
    assert waiting.last_error
    assert "in-the-url" not in waiting.last_error


def test_the_schedule_is_the_published_one(account, endpoint, receiver, shift):
    receiver.status = 500
    enqueue(account)
    at, waits = 0, []
    while run_worker():
        waiting = get_only_delivery()
        if waiting.state != "pending":
            break
        waits.append(wait_of(waiting))
        at += int(waits[-1]) + 2
        shift(at)
    assert len(receiver.requests) == MAX_ATTEMPTS
    assert len({request.id for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1
    for wait, published in zip(waits, RETRY_DELAYS, strict=True):
        assert published - 1 <= wait <= published * 1.1
    assert (get_only_delivery().state, get_only_delivery().last_status) == ("failed", 500)


def test_retry_after_is_applied(account, endpoint, receiver):
    receiver.status, receiver.headers = 503, ["Retry-After: 120"]
    enqueue(account)
    run_worker()
    assert 90 <= wait_of(get_only_delivery()) <= 120


def test_retry_after_may_be_a_date(account, endpoint, receiver):
    at = email.utils.formatdate(time.time() + 120, usegmt=True)
    receiver.status, receiver.headers = 503, [f"Retry-After: {at}"]
    enqueue(account)
    run_worker()
    assert 90 <= wait_of(get_only_delivery()) <= 120


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "Mon, 01 Jan 2029 00:00:00 +9999999999999999",
        "Mon, 01 Jan 99999999999999 00:00:00 GMT",
    ],
)
def test_invalid_retry_after_is_ignored(account, endpoint, receiver, value):
    receiver.status, receiver.headers = 503, [f"Retry-After: {value}"]
    enqueue(account)
    run_worker()
    assert (get_only_delivery().state, get_only_delivery().last_status) == ("pending", 503)
    assert wait_of(get_only_delivery()) <= 6


def test_410_disables_the_endpoint_at_once(account, endpoint, receiver):
    receiver.status = 410
    enqueue(account)
    later = enqueue(account)
    run_worker(limit=1)
    off = fresh(endpoint)
    assert (off.enabled, off.disabled_at is not None) == (False, True)
    assert "410" in off.disabled_reason
    assert list_states() == ["failed", "pending"]
    assert Event.objects.filter(verb="webhook_endpoint.disabled", target_id=off.id).count() == 1
    assert later not in {request.target for request in receiver.requests}


def test_failing_for_five_days_disables_it(account, endpoint, receiver, shift):
    receiver.status = 500
    for day in range(6):
        shift(day * 86_400)
        enqueue(account)
        run_worker()
        if day == 4:
            assert fresh(endpoint).enabled
    assert not fresh(endpoint).enabled
    assert "5 days" in fresh(endpoint).disabled_reason


def test_one_success_in_between_keeps_the_endpoint_enabled(account, endpoint, receiver, shift):
    for day, status in enumerate([500, 500, 500, 200, 500, 500]):
        receiver.status = status
        shift(day * 86_400)
        enqueue(account)
        run_worker()
    assert fresh(endpoint).enabled


def test_pending_deliveries_wait_while_the_endpoint_is_disabled(account, endpoint, receiver):
    enqueue(account)
    change = {"account_id": account.id, "id": endpoint.id, "actor": TESTER}
    endpoint_update(**change, changes={"enabled": False})
    enqueue(account)
    assert run_worker() == 0
    assert find_next_due() is None
    endpoint_update(**change, changes={"enabled": True})
    assert run_worker() == 1
    assert list_states() == ["delivered"]


def test_claim_sends_nothing_after_its_endpoint_was_disabled(account, endpoint, receiver):
    enqueue(account)
    (claim,) = claim_due_deliveries(owner="a", limit=1)
    WebhookEndpoint.objects.update(enabled=False)
    deliveries.attempt_delivery(claim)
    assert receiver.requests == []
    assert (
        get_only_delivery().state,
        get_only_delivery().attempts,
        get_only_delivery().lease_owner,
    ) == ("pending", 0, "")


def test_while_secrets_rotate_both_sign(account, receiver, shift):
    endpoint, old = make_endpoint_and_secret(account, receiver)
    rotate = {"account_id": account.id, "id": endpoint.id, "actor": TESTER}
    new = secret_rotate(**rotate)
    enqueue(account)
    run_worker()
    (request,) = receiver.requests
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        Webhook(secret).verify(request.body, request.headers)


def test_the_old_secret_ends_after_a_day(account, receiver, shift):
    endpoint, _ = make_endpoint_and_secret(account, receiver)
    secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER)
    shift(86_400 + 60)
    enqueue(account)
    run_worker()
    assert len(receiver.requests[0].headers["webhook-signature"].split()) == 1


def test_a_leaked_secret_can_be_ended_at_once(account, receiver):
    endpoint, old = make_endpoint_and_secret(account, receiver)
    new = secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER, drop_old_secret=True)
    assert WebhookSecret.objects.count() == 1
    enqueue(account)
    run_worker()
    (request,) = receiver.requests
    Webhook(new).verify(request.body, request.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(old).verify(request.body, request.headers)


def test_a_second_rotation_ends_the_oldest(account, receiver):
    endpoint, _ = make_endpoint_and_secret(account, receiver)
    for _ in range(3):
        secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER)
    assert WebhookSecret.objects.filter(endpoint=endpoint).count() == 2


def test_undecryptable_secret_does_not_blame_the_receiver(account, endpoint, receiver):
    WebhookSecret.objects.update(sealed=SealedValue(b"\x00damaged"))
    enqueue(account)
    run_worker()
    assert receiver.requests == []
    assert (get_only_delivery().state, fresh(endpoint).failing_since) == ("pending", None)
    assert "secret" in get_only_delivery().last_error


def test_replay_sends_the_same_message_again(account, endpoint, receiver):
    enqueue(account)
    run_worker()
    again = {"account_id": account.id, "endpoint_id": endpoint.id, "actor": TESTER}
    delivery_replay(**again, id=get_only_delivery().id)
    assert run_worker() == 1
    first, second = receiver.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert get_only_delivery().state == "delivered"


def test_replay_retries_a_failed_delivery(account, endpoint, receiver):
    enqueue(account)
    WebhookDelivery.objects.update(state="failed", next_at=None, attempts=10)
    delivery_replay(
        account_id=account.id, endpoint_id=endpoint.id, id=get_only_delivery().id, actor=TESTER
    )
    assert run_worker() == 1
    assert (get_only_delivery().state, get_only_delivery().attempts) == ("delivered", 1)


def test_private_address_is_rejected_at_each_attempt(account, endpoint, receiver, settings):
    enqueue(account)
    settings.EGRESS_ALLOW = ""
    assert run_worker() == 1
    assert receiver.requests == []
    assert get_only_delivery().state == "pending"
    assert "must begin with https" in get_only_delivery().last_error


def test_slow_receiver_times_out(account, endpoint, receiver, monkeypatch):
    monkeypatch.setattr(deliveries, "_TIMEOUTS", Timeouts(total=0.5))
    receiver.seconds = 1
    enqueue(account)
    run_worker()
    assert (get_only_delivery().state, get_only_delivery().last_status) == ("pending", None)
    assert "in time" in get_only_delivery().last_error


def test_a_status_counts_even_if_the_body_breaks(account, endpoint, receiver):
    receiver.headers = ["Content-Encoding: gzip"]
    enqueue(account)
    run_worker()
    assert get_only_delivery().state == "delivered"


def test_rolled_back_change_enqueues_nothing(account, endpoint):
    with transaction.atomic():
        enqueue(account)
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_an_account_without_endpoints_costs_one_statement(account):
    with CaptureQueriesContext(connection) as captured:
        enqueue(account)
    assert len(captured) == 1


def test_only_subscribed_endpoints_of_the_account_get_the_event(account, receiver):
    wants = make_endpoint(account, receiver, events=["credential.deleted"])
    make_endpoint(account, receiver, events=["oauth_app.created"])
    make_endpoint(account, receiver, events=["credential.deleted"], enabled=False)
    make_endpoint(make_account(), receiver, events=["credential.deleted"])
    enqueue(account, "credential.deleted")
    assert get_only_delivery().endpoint_id == wants.id


def test_two_endpoints_get_one_event_with_one_id(account, receiver):
    make_endpoint(account, receiver)
    make_endpoint(account, receiver)
    enqueue(account)
    run_worker()
    assert len(receiver.requests) == 2
    assert len({request.id for request in receiver.requests}) == 1


def test_unknown_event_type_raises(account):
    with pytest.raises(ValueError, match="not an event type"):
        enqueue(account, "credential.exploded")


def test_next_due_is_when_the_first_may_go(account, endpoint, receiver):
    assert find_next_due() is None
    enqueue(account)
    due = find_next_due()
    assert due is not None
    assert due <= db_now()
    receiver.status = 500
    run_worker()
    due = find_next_due()
    assert due is not None
    assert dt.timedelta(seconds=-30) < due - db_now() < dt.timedelta(seconds=6)


def test_old_deliveries_are_deleted(account, endpoint, receiver, shift):
    from webhooks.services import deliveries_prune

    enqueue(account)
    run_worker()
    enqueue(account)
    assert deliveries_prune() == 0
    shift(31 * 86_400)
    assert deliveries_prune() == 1
    assert list_states() == ["pending"]


def test_a_lost_lease_writes_nothing(account, endpoint, receiver, shift):
    enqueue(account)
    (first,) = claim_due_deliveries(owner="a", limit=1)
    shift(61)
    (second,) = claim_due_deliveries(owner="a", limit=1)
    assert first.fencing_number is not None
    assert (first.owner, first.fencing_number + 1) == (second.owner, second.fencing_number)
    deliveries.attempt_delivery(first)
    assert receiver.requests == []
    deliveries.settle_delivery(first, deliveries.DeliveryOutcome(200))
    assert get_only_delivery().state == "pending"
    deliveries.attempt_delivery(second)
    assert get_only_delivery().state == "delivered"
