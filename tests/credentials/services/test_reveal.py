"""POST /reveal: the real values, on the record before they are shown."""

from __future__ import annotations

import pytest
from django.db import connection

from credentials.models import CredentialUse, Reveal
from credentials.services import reveal
from events.models import Event
from tests.api import ApiClient
from tests.factories import make_credential, make_stripe_body, make_token

pytestmark = pytest.mark.django_db
WHY = {"reason": "The customer asks which key it is."}


@pytest.fixture
def row(account):
    return make_credential(account, make_stripe_body("sk_live_canary"))


@pytest.fixture
def path(row) -> str:
    return f"/v1/credentials/{row.id}/reveal"


def test_shows_the_real_values_and_nobody_keeps_them(api, path, row):
    answer = api.post(path, WHY)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer.json() == {
        "id": str(row.id),
        "properties": {**row.properties, "secret": "sk_live_canary"},
    }


def test_leaves_an_event_and_the_reason(api, path, row):
    api.post(path, WHY)
    event = Event.objects.get(verb="credential.revealed")
    assert (event.target_id, event.changed) == (row.id, ["secret"])
    kept = Reveal.objects.get()
    assert (kept.credential_id, kept.reason, kept.actor) == (row.id, WHY["reason"], event.actor)


@pytest.mark.parametrize(
    "reason",
    [WHY["reason"], "<script>alert(1)</script>", 'a " \\ b', "Für “Zoë” 🔑", "x" * 500],
    ids=["plain", "markup", "quotes", "unicode", "longest"],
)
def test_the_reason_is_in_the_trail_as_it_was_typed(api, path, row, reason):
    api.post(path, {"reason": reason})
    (event,) = api.get(f"/v1/events?target={row.id}&verb=credential.revealed").json()["data"]
    assert event["detail"] == {"reason": reason}


def test_is_a_use(api, path, row):
    api.post(path, WHY)
    assert CredentialUse.objects.filter(credential_id=row.id).exists()


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": " "}, {"reason": None}, {"reason": 7}, {"reason": "x" * 501},
     {"reason": "a\nb"}, {**WHY, "more": 1}],
    ids=["none", "empty", "blank", "null", "number", "long", "lines", "more"],
)  # fmt: skip
def test_needs_a_reason(api, path, body):
    assert api.post(path, body).status_code == 422
    assert not Event.objects.filter(verb="credential.revealed").exists()


def test_needs_its_own_scope(account, path):
    caller = ApiClient(
        make_token(account, "credentials:read", "credentials:write", "credentials:use")
    )
    answer = caller.post(path, WHY)
    assert answer.status_code == 403
    assert answer.json()["missing_scope"] == "credentials:reveal"


def test_another_accounts_is_not_there(other_api, path):
    assert other_api.post(path, WHY).status_code == 404


def test_ten_an_hour_for_a_token(api, account, path, settings):
    for _ in range(10):
        assert api.post(path, WHY).status_code == 200
    answer = api.post(path, WHY)
    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3601
    assert Reveal.objects.count() == 10
    assert ApiClient(make_token(account)).post(path, WHY).status_code == 200
    settings.CLOCK_SHIFT_SECONDS = 3601
    assert api.post(path, WHY).status_code == 200


def test_shows_nothing_that_is_not_on_the_record(api, path, monkeypatch):
    def fail(**event):
        raise RuntimeError

    monkeypatch.setattr(reveal, "record_event", fail)
    answer = api.post(path, WHY)
    assert answer.status_code == 500
    assert "canary" not in answer.content.decode()


def test_a_row_that_does_not_open_is_a_conflict(api, path, row, break_seal):
    break_seal(row)
    assert api.post(path, WHY).status_code == 409
    assert not Reveal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_event_is_committed_before_the_answer(account):
    row = make_credential(account)
    answer = ApiClient(make_token(account)).post(f"/v1/credentials/{row.id}/reveal", WHY)
    connection.close()
    assert answer.status_code == 200
    assert Event.objects.filter(verb="credential.revealed", target_id=row.id).exists()
