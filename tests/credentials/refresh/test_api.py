"""POST /token and /refresh, and the `refresh` object of a credential."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from credentials.admin.formatting import render_health, render_refresh_state
from credentials.core.displayed_health import IN_DOUBT_NOTE
from credentials.core.grant_state import get_grant
from credentials.models import Credential, CredentialUse, Grant
from events.models import Event
from tests.api import ApiClient
from tests.factories import (
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
    make_token,
)

pytestmark = pytest.mark.django_db


def test_token_is_returned(provider, grant, api):
    row = grant()
    answer = api.post(f"/v1/credentials/{row.id}/token")
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    found = answer.json()
    assert provider.grants.is_alive(found["access_token"])
    assert found["token_type"] == "Bearer"
    assert found["expires_at"] == api.get(f"/v1/credentials/{row.id}").json()["expires_at"]


def test_issuing_counts_as_use_and_refreshing_does_not(provider, grant, api):
    row = grant()
    assert api.post(f"/v1/credentials/{row.id}/refresh").json()["last_used_at"] is None
    api.post(f"/v1/credentials/{row.id}/token")
    api.post(f"/v1/credentials/{row.id}/token")
    assert CredentialUse.objects.get().credential_id == row.id
    events = Event.objects.filter(verb="credential.token_issued")
    assert {event.target_id for event in events} == {row.id}
    assert len(events) == 2


def test_failed_issue_is_no_use(provider, grant, api):
    provider.mode = "invalid_grant"
    api.post(f"/v1/credentials/{grant().id}/token")
    assert not CredentialUse.objects.exists()
    assert not Event.objects.filter(verb="credential.token_issued").exists()


def test_token_is_withheld_if_event_cannot_be_recorded(provider, grant, api, monkeypatch):
    row = grant()

    def full(*_: object) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr("credentials.refresh.services.record_event", full)
    answer = api.post(f"/v1/credentials/{row.id}/token")
    assert answer.status_code == 503
    assert "access_token" not in answer.json()
    assert not CredentialUse.objects.exists()


def test_refresh_returns_credential(provider, grant, api):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    answer = api.post(f"/v1/credentials/{row.id}/refresh")
    assert answer.status_code == 200
    refresh = answer.json()["refresh"]
    assert (refresh["state"], refresh["error"]) == ("fresh", None)
    assert refresh["last_at"] < refresh["next_at"] < answer.json()["expires_at"]
    assert answer["ETag"] == api.get(f"/v1/credentials/{row.id}")["ETag"]
    assert len(provider.calls) == 1


@pytest.mark.parametrize("call", ["token", "refresh"])
def test_dead_grant_is_409_with_remedy(provider, grant, api, call):
    provider.mode = "invalid_grant"
    row = grant()
    answer = api.post(f"/v1/credentials/{row.id}/{call}")
    assert (answer.status_code, answer.json()["code"]) == (409, "needs_reauth")
    assert api.get(f"/v1/credentials/{row.id}").json()["refresh"] == {
        "state": "needs_reauth",
        "last_at": None,
        "next_at": None,
        "error": "revoked_or_expired",
    }


def test_outage_is_503_with_retry_after(provider, grant, api):
    provider.mode = "429_seconds"
    answer = api.post(f"/v1/credentials/{grant().id}/token")
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")


def test_paused_app_is_displayed(provider, grant, api):
    provider.mode = "invalid_client"
    row, other = grant("ann"), grant("bob")
    for each in (row, other):
        assert api.post(f"/v1/credentials/{each.id}/token").status_code == 503
    assert api.get(f"/v1/credentials/{row.id}").json()["refresh"]["state"] == "paused"


def test_running_refresh_is_displayed(provider, grant, api):
    row = grant()
    Grant.objects.filter(credentials=row.id).update(
        lease_until="2099-01-01T00:00:00Z", lease_renewed_at="2099-01-01T00:00:00Z"
    )
    assert api.get(f"/v1/credentials/{row.id}").json()["refresh"]["state"] == "refreshing"


def test_a_refresher_that_was_not_heard_of_leaves_the_grant_in_doubt(provider, grant, api):
    row = grant()
    Grant.objects.filter(credentials=row.id).update(
        lease_until="2099-01-01T00:00:00Z", lease_renewed_at="2026-01-01T00:00:00Z"
    )
    document = api.get(f"/v1/credentials/{row.id}").json()
    assert document["refresh"]["state"] == "in_doubt"
    assert document["health"]["notes"] == [IN_DOUBT_NOTE]
    # It ends by itself, so the page of staff shows it as well and no row stores it.
    row = Credential.objects.get(id=row.id)
    assert row.health["notes"] == []
    assert IN_DOUBT_NOTE in render_health(row)
    assert "in doubt" in render_refresh_state(row)


def test_a_response_that_never_came_leaves_the_grant_in_doubt(provider, grant, api):
    row = grant()
    provider.mode = "500_after"
    assert api.post(f"/v1/credentials/{row.id}/token").status_code == 503
    assert api.get(f"/v1/credentials/{row.id}").json()["refresh"]["state"] == "in_doubt"


@pytest.mark.parametrize("call", ["token", "refresh"])
def test_kinds_without_tokens_are_rejected(account, api, call):
    row = make_credential(account, make_stripe_body())
    answer = api.post(f"/v1/credentials/{row.id}/{call}")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_refreshable")


def test_token_without_expiry_is_returned(account, api):
    app = make_app(account, "intercom")
    properties = {"kind": "intercom_oauth2", "app_id": "a", "access_token": "dG9rOmFiYw=="}
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    found = api.post(f"/v1/credentials/{row.id}/token").json()
    assert (found["access_token"], found["expires_at"]) == ("dG9rOmFiYw==", None)


def test_grant_without_refresh_token_is_used_until_expiry(account, api):
    body = make_linear_body(make_app(account), properties={"expires_at": "2099-01-01T00:00:00Z"})
    del body["properties"]["refresh_token"]
    row = make_credential(account, body)
    assert api.post(f"/v1/credentials/{row.id}/token").status_code == 200
    Credential.objects.filter(id=row.id).update(expires_at="2026-01-01T00:00:00Z")
    assert api.post(f"/v1/credentials/{row.id}/token").json()["code"] == "needs_reauth"


@pytest.mark.parametrize("call", ["token", "refresh"])
def test_use_scope_is_required(account, provider, grant, call):
    row = grant()
    reader = ApiClient(make_token(account, "credentials:read", "credentials:write"))
    assert reader.post(f"/v1/credentials/{row.id}/{call}").status_code == 403
    user = ApiClient(make_token(account, "credentials:use"))
    assert user.post(f"/v1/credentials/{row.id}/{call}").status_code == 200


@pytest.mark.parametrize("call", ["token", "refresh"])
def test_other_accounts_credential_is_404(provider, grant, other_api, call):
    assert other_api.post(f"/v1/credentials/{grant().id}/{call}").status_code == 404
    assert other_api.post(f"/v1/credentials/nonsense/{call}").status_code == 404
    assert provider.calls == []


def test_body_is_rejected(provider, grant, api):
    answer = api.post(f"/v1/credentials/{grant().id}/token", {"force": True})
    assert answer.status_code == 400


def test_github_installation_gets_token(provider, account, api):
    key = pem()
    app = make_app(account, "fakehub", client_secret=key)
    properties = {"kind": "fakehub_app", "installation_id": 7}
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    found = api.post(f"/v1/credentials/{row.id}/token").json()
    assert found["access_token"].startswith("access-app-")
    assert "access_token" not in api.get(f"/v1/credentials/{row.id}").json()["properties"]
    again = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    assert (again.id, get_grant(again).generation) == (row.id, 1)


def pem() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def test_a_credential_that_cannot_be_decrypted_is_an_error_once_a_caller_meets_it(grant, api):
    broken, whole = grant("ann", expires_at="2099-01-01T00:00:00Z"), grant("bob")
    Credential.objects.filter(id=broken.id).update(secrets=whole.secrets)
    assert api.post(f"/v1/credentials/{broken.id}/token").status_code == 409
    health = api.get(f"/v1/credentials/{broken.id}").json()["health"]
    assert health["status"] == "error"
    assert "decrypt" in health["notes"][0]


def test_a_report_within_a_minute_of_a_refresh_is_checked_by_the_worker(provider, grant, api):
    row = grant()
    assert api.post(f"/v1/credentials/{row.id}/token").status_code == 200
    assert api.post(f"/v1/credentials/{row.id}/report", {"status": 401}).status_code == 200
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert stored.next_at
    assert stored.last_at
    assert (stored.next_at - stored.last_at).total_seconds() == 60


def test_a_report_that_is_checked_at_once_schedules_nothing_more(provider, grant, api):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    assert api.post(f"/v1/credentials/{row.id}/report", {"status": 401}).status_code == 200
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert stored.next_at
    assert stored.last_at
    assert (stored.next_at - stored.last_at).total_seconds() > 600
