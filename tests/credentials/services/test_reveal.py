"""POST /reveal returns the secrets, after the event is stored."""

from __future__ import annotations

import pytest
from django.db import connection

from credentials.models import Credential, CredentialUse, Reveal
from credentials.services import reveal
from events.models import Event
from tests.api import ApiClient
from tests.factories import make_credential, make_stripe_body, make_token

pytestmark = pytest.mark.django_db
REASON = {"reason": "The customer asks which key it is."}


@pytest.fixture
def row(account):
    return make_credential(account, make_stripe_body("sk_live_canary"))


@pytest.fixture
def path(row) -> str:
    return f"/v1/credentials/{row.id}/reveal"


def test_reveal_returns_the_secrets_without_caching(api, path, row):
    response = api.post(path, REASON)
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "id": str(row.id),
        "properties": {**row.properties, "secret": "sk_live_canary"},
    }


def test_reveal_records_an_event_and_the_reason(api, path, row):
    api.post(path, REASON)
    event = Event.objects.get(verb="credential.revealed")
    assert (event.target_id, event.changed) == (row.id, ["secret"])
    stored = Reveal.objects.get()
    assert (stored.credential_id, stored.reason, stored.actor) == (
        row.id,
        REASON["reason"],
        event.actor,
    )


@pytest.mark.parametrize(
    "reason",
    [REASON["reason"], "<script>alert(1)</script>", 'a " \\ b', "Für “Zoë” 🔑", "x" * 500],
    ids=["plain", "markup", "quotes", "unicode", "longest"],
)
def test_event_has_the_reason_unchanged(api, path, row, reason):
    api.post(path, {"reason": reason})
    (event,) = api.get(f"/v1/events?target={row.id}&verb=credential.revealed").json()["data"]
    assert event["detail"] == {"reason": reason}


def test_reveal_is_no_use(api, path, row):
    api.post(path, REASON)
    assert not CredentialUse.objects.filter(credential_id=row.id).exists()


@pytest.mark.parametrize(
    "body",
    [{}, {"reason": ""}, {"reason": " "}, {"reason": None}, {"reason": 7}, {"reason": "x" * 501},
     {"reason": "a\nb"}, {**REASON, "more": 1}],
    ids=["none", "empty", "blank", "null", "number", "long", "lines", "more"],
)  # fmt: skip
def test_reveal_requires_a_reason(api, path, body):
    assert api.post(path, body).status_code == 422
    assert not Event.objects.filter(verb="credential.revealed").exists()


def test_reveal_requires_its_own_scope(account, path):
    caller = ApiClient(
        make_token(account, "credentials:read", "credentials:write", "credentials:use")
    )
    response = caller.post(path, REASON)
    assert response.status_code == 403
    assert response.json()["missing_scope"] == "credentials:reveal"


def test_reveal_of_another_account_is_404(other_api, path):
    assert other_api.post(path, REASON).status_code == 404


def test_reveal_limit_of_a_token(api, account, path, settings):
    for _ in range(10):
        assert api.post(path, REASON).status_code == 200
    response = api.post(path, REASON)
    assert response.status_code == 429
    assert 3500 < int(response["Retry-After"]) <= 3601
    assert Reveal.objects.count() == 10
    assert ApiClient(make_token(account)).post(path, REASON).status_code == 200
    settings.CLOCK_SHIFT_SECONDS = 3601
    assert api.post(path, REASON).status_code == 200


def test_reveal_returns_nothing_without_an_event(api, path, monkeypatch):
    def fail(**event):
        raise RuntimeError

    monkeypatch.setattr(reveal, "record_event", fail)
    response = api.post(path, REASON)
    assert response.status_code == 500
    assert "canary" not in response.content.decode()


def test_reveal_of_a_row_that_cannot_be_decrypted_is_409(api, path, row, break_seal):
    break_seal(row)
    assert api.post(path, REASON).status_code == 409
    assert not Reveal.objects.exists()
    assert Credential.objects.get(id=row.id).health["status"] == "error"


@pytest.mark.django_db(transaction=True)
def test_event_is_committed_before_the_response(account):
    row = make_credential(account)
    response = ApiClient(make_token(account)).post(f"/v1/credentials/{row.id}/reveal", REASON)
    connection.close()
    assert response.status_code == 200
    assert Event.objects.filter(verb="credential.revealed", target_id=row.id).exists()
