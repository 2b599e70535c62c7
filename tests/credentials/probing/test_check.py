"""POST /check: the provider's response becomes health."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.health.models import ProbeState
from credentials.models import Credential
from credentials.probing import check as probing_check
from egress import client
from tests.api import ApiClient
from tests.credentials.upstream import Upstream
from tests.factories import keep_debris, make_app, make_credential
from vault.sealing import SecretUnavailableError

pytestmark = pytest.mark.django_db


def check_now(api: ApiClient, row: Credential) -> Any:
    answer = api.post(f"/v1/credentials/{row.id}/check")
    assert answer.status_code == 200, answer.content
    return answer.json()["health"]


def test_accepted_key_is_ok(api, key, stripe):
    assert check_now(api, key)["status"] == "ok"
    (request,) = stripe.requests
    assert (request.method, request.target) == ("GET", "/v1/charges")
    assert request.headers["authorization"] == "Bearer sk_live_canary"


def test_rejected_key_is_error_at_once(api, key, stripe):
    stripe.say(401)
    health = check_now(api, key)
    assert health["status"] == "error"
    assert health["notes"][-1] == "Stripe rejected it (HTTP 401)."


def test_rejection_must_be_repeated(api, key, stripe):
    stripe.say(401, 200)
    assert check_now(api, key)["status"] == "ok"
    assert len(stripe.requests) == 2


def test_notes_contain_no_text_of_provider(api, key, stripe):
    stripe.say(401, message="sk_live_canary is revoked")
    assert "canary" not in str(check_now(api, key))


def test_unclear_response_changes_nothing(api, key, stripe):
    stripe.say(404)
    health = check_now(api, key)
    assert health["status"] == "unknown"
    assert "which says nothing about the credential" in health["notes"][0]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_errors_never_set_error(api, key, stripe, status):
    check_now(api, key)
    stripe.say(status)
    health = check_now(api, key)
    assert health["status"] == "ok"
    assert "The cause is not the credential" in health["notes"][0]


def test_a_provider_that_hangs_up_never_makes_an_error(api, key, stripe):
    stripe.hang_up()
    assert check_now(api, key)["status"] == "warn"


def test_what_could_not_be_checked_yet_is_a_warning(api, key, stripe):
    stripe.say(503)
    assert check_now(api, key)["status"] == "warn"


@pytest.mark.parametrize("wait", ["7", "soon", "9" * 5000], ids=["seconds", "word", "digits"])
def test_rate_limit_is_no_outage(api, key, stripe, wait):
    check_now(api, key)
    stripe.say(429, headers=(f"Retry-After: {wait}",))
    health = check_now(api, key)
    assert health["status"] == "ok"
    assert "limits requests" in health["notes"][0]


def test_recovery_is_ok_with_a_note(api, key, stripe):
    stripe.say(401)
    check_now(api, key)
    stripe.say(200)
    health = check_now(api, key)
    assert health["status"] == "ok"
    assert health["notes"] == ["It works again.", "Stripe accepted it."]


def test_a_check_takes_no_body(api, key, stripe):
    assert api.post(f"/v1/credentials/{key.id}/check", {"a": 1}).status_code == 400
    assert stripe.requests == []


def test_ten_checks_a_minute_are_enough(api, key, stripe):
    for _ in range(10):
        check_now(api, key)
    answer = api.post(f"/v1/credentials/{key.id}/check")
    assert answer.status_code == 429
    assert answer["Retry-After"] == "60"
    assert len(stripe.requests) == 10


def test_editing_goes_on_while_health_changes(api, key, stripe):
    tag = api.get(f"/v1/credentials/{key.id}")["ETag"]
    check_now(api, key)
    answer = api.patch(f"/v1/credentials/{key.id}", {"name": "x"}, headers={"If-Match": tag})
    assert answer.status_code == 200


def test_updated_at_moves_with_the_status_alone(api, key, stripe):
    before = api.get(f"/v1/credentials/{key.id}").json()["updated_at"]
    check_now(api, key)
    changed = api.get(f"/v1/credentials/{key.id}").json()["updated_at"]
    check_now(api, key)
    assert before < changed == api.get(f"/v1/credentials/{key.id}").json()["updated_at"]


def test_a_row_that_does_not_open_is_an_error_with_its_own_note(api, key, stripe, break_seal):
    break_seal(key)
    health = check_now(api, key)
    assert health["status"] == "error"
    assert "cannot be decrypted" in health["notes"][-1]
    assert stripe.requests == []


def test_a_row_that_opens_again_is_asked_about_again(api, key, stripe, break_seal):
    whole = Credential.objects.get(id=key.id).secrets
    break_seal(key)
    check_now(api, key)
    Credential.objects.filter(id=key.id).update(secrets=whole)
    assert check_now(api, key)["status"] == "ok"


def test_kind_without_probe_gets_note(api, account):
    body = {"properties": {"kind": "slack_key", "key": "xoxb-1"}}
    health = check_now(api, make_credential(account, body))
    assert health["status"] == "unknown"
    assert "no request that tests it" in health["notes"][0]


def test_a_grant_is_asked_about_with_its_access_token(api, grant, gitlab):
    assert check_now(api, grant)["status"] == "ok"
    (request,) = gitlab.requests
    assert request.target == "/api/v4/user"
    assert request.headers["authorization"] == "Bearer glat-first"


def test_a_refused_token_is_made_new_before_its_grant_is_blamed(api, grant, gitlab):
    gitlab.say(401, 200, path="/api/v4/user")
    gitlab.say(200, path="/oauth/token", access_token="glat-2", token_type="bearer")
    assert check_now(api, grant)["status"] == "ok"
    assert gitlab.paths() == ["/api/v4/user", "/oauth/token", "/api/v4/user"]


def test_a_grant_that_is_revoked_is_an_error_by_its_refresh(api, grant, gitlab):
    gitlab.say(401, path="/api/v4/user")
    gitlab.say(400, path="/oauth/token", error="invalid_grant")
    assert check_now(api, grant)["status"] == "error"


def test_grant_without_probe_is_refreshed(api, account, discord):
    body = {
        "properties": {"kind": "discord_oauth2", "user_id": "7", "refresh_token": "r-1"},
        "oauth_app_id": str(make_app(account, "discord").id),
    }
    discord.say(200, access_token="a-1", token_type="bearer", expires_in=3600)
    assert check_now(api, make_credential(account, body))["status"] == "ok"
    assert discord.paths() == ["/api/oauth2/token"]


def test_response_about_replaced_secret_has_no_effect(api, key, stripe, monkeypatch):
    def send(request, *, timeouts=None, sending=client.send):
        prints = {"secret": ["another", "another"]}
        Credential.objects.filter(id=key.id).update(fingerprints=prints)
        return sending(request, timeouts=timeouts)

    stripe.say(401)
    monkeypatch.setattr(client, "send", send)
    assert check_now(api, key)["status"] == "unknown"


def test_key_with_line_break_is_not_sent(api, account, stripe):
    properties = {"kind": "stripe_key", "secret": "sk\nX-Evil: 1", "test": False}
    with keep_debris():
        row = make_credential(account, {"properties": properties})
    health = check_now(api, row)
    assert "no request can carry" in health["notes"][0]
    assert stripe.requests == []


def test_repaired_row_stays_unknown(api, key, stripe, break_seal, monkeypatch):
    whole = Credential.objects.get(id=key.id).secrets
    break_seal(key)

    def fail_and_repair(row):
        Credential.objects.filter(id=row.id).update(secrets=whole)
        raise SecretUnavailableError

    monkeypatch.setattr(probing_check, "decrypt_secrets", fail_and_repair)
    assert check_now(api, key)["status"] == "unknown"


class TestRejectedToken:
    """A token that the provider rejects although it issued it a moment ago."""

    @pytest.fixture
    def row(self, grant: Credential, gitlab: Upstream, api: ApiClient) -> Credential:
        gitlab.say(200, path="/oauth/token", access_token="glat-2", token_type="bearer")
        gitlab.say(401, path="/api/v4/user")
        assert api.post(f"/v1/credentials/{grant.id}/refresh").status_code == 200
        assert check_now(api, grant)["status"] == "error"
        return grant

    def request_token(self, api: ApiClient, row: Credential) -> tuple[int, str]:
        response = api.post(f"/v1/credentials/{row.id}/token")
        return response.status_code, response.json().get("code", "")

    def test_it_is_not_handed_out(self, row, api):
        response = api.post(f"/v1/credentials/{row.id}/token")
        assert (response.status_code, response.json()["code"]) == (503, "token_rejected")
        assert 1 <= int(response["Retry-After"]) <= 60
        refresh = api.get(f"/v1/credentials/{row.id}").json()["refresh"]
        assert (refresh["state"], refresh["error"]) == ("due", "token_rejected")

    def test_the_next_refresh_tells_that_the_grant_is_dead(self, row, api, gitlab, settings):
        settings.CLOCK_SHIFT_SECONDS = 61
        gitlab.say(400, path="/oauth/token", error="invalid_grant")
        assert self.request_token(api, row) == (409, "needs_reauth")

    def test_another_token_is_handed_out_and_probed_before_health_recovers(
        self, row, api, gitlab, settings
    ):
        settings.CLOCK_SHIFT_SECONDS = 61
        gitlab.say(200, path="/oauth/token", access_token="glat-3", token_type="bearer")
        assert self.request_token(api, row)[0] == 200
        state = ProbeState.objects.get(credential_id=row.id)
        assert state.urgent
        assert Credential.objects.get(id=row.id).health["status"] == "error"
        gitlab.say(200, path="/api/v4/user")
        assert check_now(api, row)["status"] == "ok"

    def test_a_second_rejected_token_is_replaced_once_a_day(self, row, api, gitlab, settings):
        settings.CLOCK_SHIFT_SECONDS = 61
        gitlab.say(200, path="/oauth/token", access_token="glat-3", token_type="bearer")
        assert self.request_token(api, row)[0] == 200
        assert check_now(api, row)["status"] == "error"
        calls = len(gitlab.requests)
        settings.CLOCK_SHIFT_SECONDS = 3600
        assert self.request_token(api, row) == (503, "token_rejected")
        assert len(gitlab.requests) == calls
        # A check replaces it now, so that a corrected permission is seen at once.
        gitlab.say(200, path="/api/v4/user")
        assert check_now(api, row)["status"] == "ok"
        assert self.request_token(api, row)[0] == 200
