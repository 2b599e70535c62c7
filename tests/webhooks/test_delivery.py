"""One attempt and what follows from it."""

from __future__ import annotations

import datetime as dt
import email.utils
import time

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from standardwebhooks.webhooks import Webhook

from common.db.clock import db_now
from egress.deadline import Limits
from events.models import Event
from tests.factories import TESTER, make_account
from tests.webhooks.conftest import make_endpoint, make_endpoint_and_secret
from tests.webhooks.work import only, states, told, work
from vault.sealing import Sealed
from webhooks import delivery as deliveries
from webhooks.leases import claim_due, next_due
from webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from webhooks.retry_schedule import ATTEMPTS, DELAYS
from webhooks.services import delivery_replay, endpoint_update, secret_rotate


def fresh(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(id=endpoint.id)


def wait_of(delivery: WebhookDelivery) -> float:
    assert delivery.next_at is not None
    return (delivery.next_at - db_now()).total_seconds()


def test_the_reference_library_verifies_what_is_sent(account, receiver):
    _, secret = make_endpoint_and_secret(account, receiver)
    target = told(account)
    assert work() == 1
    (heard,) = receiver.heard
    shown = Webhook(secret).verify(heard.body, heard.headers)
    assert shown["type"] == "credential.updated"
    assert shown["data"] == {"id": str(target), "account_id": str(account.id)}
    assert set(shown) == {"type", "timestamp", "data"}
    assert shown["timestamp"].endswith("Z")
    assert heard.headers["content-type"] == "application/json"


def test_a_delivery_that_is_answered_is_done(account, endpoint, receiver):
    told(account)
    work()
    done = only()
    assert (done.state, done.last_status, done.last_error) == ("delivered", 200, "")
    assert done.delivered_at is not None
    assert done.next_at is None
    assert work() == 0


@pytest.mark.parametrize("status", [301, 308, 400, 404, 500, 503])
def test_another_status_is_tried_again_in_five_seconds(account, endpoint, receiver, status):
    receiver.status = status
    told(account)
    work()
    waiting = only()
    assert (waiting.state, waiting.last_status) == ("pending", status)
    assert 4 <= wait_of(waiting) <= 5.5
    assert len(receiver.heard) == 1


def test_what_the_receiver_says_is_kept_nowhere(account, endpoint, receiver):
    receiver.status, receiver.body = 500, b"your key is hunter2"
    told(account)
    work()
    assert "hunter2" not in repr(WebhookDelivery.objects.values().get())


def test_a_receiver_that_is_not_there_is_tried_again(account, endpoint, receiver):
    receiver.__exit__(None, None, None)
    told(account)
    work()
    waiting = only()
    assert (waiting.state, waiting.last_status) == ("pending", None)
    assert waiting.last_error
    assert "in-the-url" not in waiting.last_error


def test_the_schedule_is_the_published_one(account, endpoint, receiver, shift):
    receiver.status = 500
    told(account)
    at, waits = 0, []
    while work():
        waiting = only()
        if waiting.state != "pending":
            break
        waits.append(wait_of(waiting))
        at += int(waits[-1]) + 2
        shift(at)
    assert len(receiver.heard) == ATTEMPTS
    assert len({heard.id for heard in receiver.heard}) == 1
    assert len({heard.body for heard in receiver.heard}) == 1
    for wait, published in zip(waits, DELAYS, strict=True):
        assert published - 1 <= wait <= published * 1.1
    assert (only().state, only().last_status) == ("failed", 500)


def test_retry_after_is_honoured(account, endpoint, receiver):
    receiver.status, receiver.headers = 503, ["Retry-After: 120"]
    told(account)
    work()
    assert 118 <= wait_of(only()) <= 120


def test_retry_after_may_be_a_date(account, endpoint, receiver):
    at = email.utils.formatdate(time.time() + 120, usegmt=True)
    receiver.status, receiver.headers = 503, [f"Retry-After: {at}"]
    told(account)
    work()
    assert 115 <= wait_of(only()) <= 120


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "Mon, 01 Jan 2029 00:00:00 +9999999999999999",
        "Mon, 01 Jan 99999999999999 00:00:00 GMT",
    ],
)
def test_a_retry_after_that_nobody_can_read_is_none(account, endpoint, receiver, value):
    receiver.status, receiver.headers = 503, [f"Retry-After: {value}"]
    told(account)
    work()
    assert (only().state, only().last_status) == ("pending", 503)
    assert wait_of(only()) <= 6


def test_410_disables_the_endpoint_at_once(account, endpoint, receiver):
    receiver.status = 410
    told(account)
    later = told(account)
    work(limit=1)
    off = fresh(endpoint)
    assert (off.enabled, off.disabled_at is not None) == (False, True)
    assert "410" in off.disabled_reason
    assert states() == ["failed", "pending"]
    assert Event.objects.filter(verb="webhook_endpoint.disabled", target_id=off.id).count() == 1
    assert later not in {heard.target for heard in receiver.heard}


def test_failing_for_five_days_disables_it(account, endpoint, receiver, shift):
    receiver.status = 500
    for day in range(6):
        shift(day * 86_400)
        told(account)
        work()
        if day == 4:
            assert fresh(endpoint).enabled
    assert not fresh(endpoint).enabled
    assert "5 days" in fresh(endpoint).disabled_reason


def test_one_success_in_between_keeps_it(account, endpoint, receiver, shift):
    for day, status in enumerate([500, 500, 500, 200, 500, 500]):
        receiver.status = status
        shift(day * 86_400)
        told(account)
        work()
    assert fresh(endpoint).enabled


def test_what_is_pending_when_it_is_disabled_goes_out_when_it_is_enabled(
    account, endpoint, receiver
):
    told(account)
    change = {"account_id": account.id, "id": endpoint.id, "actor": TESTER}
    endpoint_update(**change, changes={"enabled": False})
    told(account)
    assert work() == 0
    assert next_due() is None
    endpoint_update(**change, changes={"enabled": True})
    assert work() == 1
    assert states() == ["delivered"]


def test_a_claim_of_an_endpoint_that_was_disabled_meanwhile_sends_nothing(
    account, endpoint, receiver
):
    told(account)
    (claim,) = claim_due(owner="a", limit=1)
    WebhookEndpoint.objects.update(enabled=False)
    deliveries.deliver(claim)
    assert receiver.heard == []
    assert (only().state, only().attempts, only().lease_owner) == ("pending", 0, "")


def test_while_secrets_rotate_both_sign(account, receiver, shift):
    endpoint, old = make_endpoint_and_secret(account, receiver)
    rotate = {"account_id": account.id, "id": endpoint.id, "actor": TESTER}
    new = secret_rotate(**rotate)
    told(account)
    work()
    (heard,) = receiver.heard
    assert len(heard.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        Webhook(secret).verify(heard.body, heard.headers)


def test_the_old_secret_ends_after_a_day(account, receiver, shift):
    endpoint, _ = make_endpoint_and_secret(account, receiver)
    secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER)
    shift(86_400 + 60)
    told(account)
    work()
    assert len(receiver.heard[0].headers["webhook-signature"].split()) == 1


def test_a_leaked_secret_can_be_ended_at_once(account, receiver):
    endpoint, old = make_endpoint_and_secret(account, receiver)
    new = secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER, drop_old_secret=True)
    assert WebhookSecret.objects.count() == 1
    told(account)
    work()
    (heard,) = receiver.heard
    Webhook(new).verify(heard.body, heard.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(old).verify(heard.body, heard.headers)


def test_a_second_rotation_ends_the_oldest(account, receiver):
    endpoint, _ = make_endpoint_and_secret(account, receiver)
    for _ in range(3):
        secret_rotate(account_id=account.id, id=endpoint.id, actor=TESTER)
    assert WebhookSecret.objects.filter(endpoint=endpoint).count() == 2


def test_a_secret_that_does_not_open_blames_nobody(account, endpoint, receiver):
    WebhookSecret.objects.update(sealed=Sealed(b"\x00damaged"))
    told(account)
    work()
    assert receiver.heard == []
    assert (only().state, fresh(endpoint).failing_since) == ("pending", None)
    assert "secret" in only().last_error


def test_replay_sends_the_same_message_again(account, endpoint, receiver):
    told(account)
    work()
    again = {"account_id": account.id, "endpoint_id": endpoint.id, "actor": TESTER}
    delivery_replay(**again, id=only().id)
    assert work() == 1
    first, second = receiver.heard
    assert (first.id, first.body) == (second.id, second.body)
    assert only().state == "delivered"


def test_replay_revives_what_was_given_up(account, endpoint, receiver):
    told(account)
    WebhookDelivery.objects.update(state="failed", next_at=None, attempts=10)
    delivery_replay(account_id=account.id, endpoint_id=endpoint.id, id=only().id, actor=TESTER)
    assert work() == 1
    assert (only().state, only().attempts) == ("delivered", 1)


def test_a_private_address_is_refused_at_use_as_well(account, endpoint, receiver, settings):
    told(account)
    settings.EGRESS_ALLOW = ""
    assert work() == 1
    assert receiver.heard == []
    assert only().state == "pending"
    assert "must begin with https" in only().last_error


def test_a_slow_receiver_is_given_up_on(account, endpoint, receiver, monkeypatch):
    monkeypatch.setattr(deliveries, "_LIMITS", Limits(total=0.1))
    receiver.seconds = 1
    told(account)
    work()
    assert (only().state, only().last_status) == ("pending", None)
    assert "in time" in only().last_error


def test_a_status_counts_even_if_the_body_breaks(account, endpoint, receiver):
    receiver.headers = ["Content-Encoding: gzip"]
    told(account)
    work()
    assert only().state == "delivered"


def test_a_rolled_back_change_is_told_to_nobody(account, endpoint):
    with transaction.atomic():
        told(account)
        transaction.set_rollback(True)
    assert not WebhookDelivery.objects.exists()


def test_an_account_without_endpoints_costs_one_statement(account):
    with CaptureQueriesContext(connection) as captured:
        told(account)
    assert len(captured) == 1


def test_only_endpoints_of_the_account_that_want_the_type_are_told(account, receiver):
    wants = make_endpoint(account, receiver, events=["credential.deleted"])
    make_endpoint(account, receiver, events=["oauth_app.created"])
    make_endpoint(account, receiver, events=["credential.deleted"], enabled=False)
    make_endpoint(make_account(), receiver, events=["credential.deleted"])
    told(account, "credential.deleted")
    assert only().endpoint_id == wants.id


def test_two_endpoints_hear_of_one_transition_by_one_id(account, receiver):
    make_endpoint(account, receiver)
    make_endpoint(account, receiver)
    told(account)
    work()
    assert len(receiver.heard) == 2
    assert len({heard.id for heard in receiver.heard}) == 1


def test_an_unknown_type_is_a_mistake_of_ours(account):
    with pytest.raises(ValueError, match="no type"):
        told(account, "credential.exploded")


def test_next_due_is_when_the_first_may_go(account, endpoint, receiver):
    assert next_due() is None
    told(account)
    due = next_due()
    assert due is not None
    assert due <= db_now()
    receiver.status = 500
    work()
    due = next_due()
    assert due is not None
    assert dt.timedelta(seconds=4) < due - db_now() < dt.timedelta(seconds=6)


def test_old_deliveries_are_forgotten(account, endpoint, receiver, shift):
    from webhooks.services import deliveries_prune

    told(account)
    work()
    told(account)
    assert deliveries_prune() == 0
    shift(31 * 86_400)
    assert deliveries_prune() == 1
    assert states() == ["pending"]


def test_a_lost_lease_writes_nothing(account, endpoint, receiver, shift):
    told(account)
    (first,) = claim_due(owner="a", limit=1)
    shift(61)
    (second,) = claim_due(owner="a", limit=1)
    assert (first.owner, first.fence + 1) == (second.owner, second.fence)
    deliveries.deliver(first)
    assert receiver.heard == []
    deliveries.settle(first, deliveries.Outcome(200))
    assert only().state == "pending"
    deliveries.deliver(second)
    assert only().state == "delivered"
