"""GET /v1/events."""

from __future__ import annotations

import pytest
from django.db import transaction

from events.models import Event
from events.services import EventTarget, record_event
from events.verbs import FORMER_VERBS
from tests.factories import TESTER, make_account, make_credential, make_stripe_body


def test_event_has_actor_verb_target_and_request(api):
    id = api.post("/v1/credentials", make_stripe_body()).json()["id"]
    events = api.get(f"/v1/events?target={id}").json()["data"]
    assert len(events) == 1
    event = events[0]
    assert (event["verb"], event["target"]) == (
        "credential.created",
        {"type": "credential", "id": id},
    )
    assert event["actor"].startswith("token:")
    assert event["ip"] == "127.0.0.1"
    assert event["request_id"]
    assert event["time"].endswith("Z")


def test_filter_by_verb_and_actor(api, account):
    make_credential(account)
    assert len(api.get("/v1/events?verb=credential.created&actor=tester").json()["data"]) == 1
    assert api.get("/v1/events?verb=credential.deleted").json()["data"] == []


@pytest.mark.parametrize(("verb", "former"), FORMER_VERBS.items())
def test_filter_by_a_renamed_verb_finds_stored_events_with_the_former_word(
    api, account, verb, former
):
    target = EventTarget("account", account.id, account.id)
    for stored in (former, verb):
        record_event(TESTER, target, stored)
    events = api.get(f"/v1/events?verb={verb}").json()["data"]
    assert [event["verb"] for event in events] == [verb, former]
    assert len(api.get(f"/v1/events?verb={former}").json()["data"]) == 1


def test_filter_by_time(api, account):
    make_credential(account)
    time = api.get("/v1/events?verb=credential.created").json()["data"][0]["time"]
    assert api.get(f"/v1/events?verb=credential.created&after={time}").json()["data"] == []
    assert api.get(f"/v1/events?before={time}&verb=credential.created").json()["data"] == []


def test_list_is_newest_first(api, account):
    for _ in range(3):
        make_credential(account)
    page = api.get("/v1/events?limit=2&verb=credential.created").json()
    times = [event["time"] for event in page["data"]]
    assert times == sorted(times, reverse=True)
    assert page["next_cursor"]


def test_list_has_no_events_of_another_account(other_api, account):
    make_credential(account)
    actors = {event["actor"] for event in other_api.get("/v1/events").json()["data"]}
    assert all("credential" not in e["verb"] for e in other_api.get("/v1/events").json()["data"])
    assert actors == {"tester"}


@pytest.mark.django_db(transaction=True)
def test_event_is_rolled_back_with_its_transaction():
    account = make_account()
    before = Event.objects.count()
    with transaction.atomic():
        make_credential(account)
        transaction.set_rollback(True)
    assert Event.objects.count() == before
