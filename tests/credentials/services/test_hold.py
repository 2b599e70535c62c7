"""A credential on hold is not refreshed by anything, and its token is handed out while it lives."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Account
from credentials.models import Credential, Grant
from credentials.refresh.tasks import REFRESH_TASK, RefreshTask
from events.models import Event
from tests.api import ApiClient
from tests.credentials.imports.test_refresh_tokens import make_body, post, post_lines
from tests.factories import make_credential, make_endpoint, make_stripe_body, make_token
from tests.fakes.fixtures import app, facts, grant, provider, start
from webhooks.models import WebhookDelivery, WebhookEndpoint

__all__ = ["app", "facts", "grant", "provider", "start"]

pytestmark = pytest.mark.django_db

FUTURE = "2099-01-01T00:00:00Z"


def get_state(api: ApiClient, row: Credential) -> str:
    return str(api.get(f"/v1/credentials/{row.id}").json()["refresh"]["state"])


def hold(api: ApiClient, row: Credential) -> dict[str, Any]:
    response = api.post(f"/v1/credentials/{row.id}/hold")
    assert response.status_code == 200, response.content
    document: dict[str, Any] = response.json()
    return document


def run_worker() -> None:
    """Refresh what is due, in this thread."""
    task = RefreshTask()
    while claims := task.claim("worker", 10):
        for claim in claims:
            task.run(claim)


def test_state_says_hold_until_the_release(api, grant):
    row = grant(expires_at=FUTURE)
    assert get_state(api, row) == "fresh"
    assert hold(api, row)["refresh"]["state"] == "hold"
    response = api.delete(f"/v1/credentials/{row.id}/hold")
    assert (response.status_code, response.json()["refresh"]["state"]) == (200, "fresh")
    verbs = Event.objects.filter(target_id=row.id).values_list("verb", flat=True).order_by("id")
    assert list(verbs) == [
        "credential.created",
        "credential.hold_placed",
        "credential.hold_released",
    ]


def test_holding_twice_is_one_event(api, grant):
    row = grant()
    hold(api, row)
    hold(api, row)
    assert Event.objects.filter(verb="credential.hold_placed").count() == 1


@pytest.fixture
def endpoint(account: Account) -> WebhookEndpoint:
    return make_endpoint(account)


# The endpoint first: with the fake provider, only addresses as in production are allowed.
def test_subscribers_are_notified_of_an_update(api, endpoint, grant):
    rows = [grant("ann"), grant("bob")]
    WebhookDelivery.objects.all().delete()
    hold(api, rows[0])
    assert api.post("/v1/credentials/hold").json() == {"changed": 1}
    deliveries = WebhookDelivery.objects.values_list("type", "target_id").order_by("id")
    assert list(deliveries) == [("credential.updated", row.id) for row in rows]


def test_live_token_is_handed_out(api, grant, provider):
    row = grant(expires_at=FUTURE)
    hold(api, row)
    response = api.post(f"/v1/credentials/{row.id}/token")
    assert response.status_code == 200
    assert provider.grants.is_alive(response.json()["access_token"])


@pytest.mark.parametrize("path", ["token", "refresh"])
def test_expired_token_is_on_hold(api, grant, provider, path):
    row = grant()
    hold(api, row)
    response = api.post(f"/v1/credentials/{row.id}/{path}")
    assert (response.status_code, response.json()["code"]) == (409, "on_hold")
    assert provider.calls == []


def test_refresh_of_a_live_token_is_on_hold(api, grant, provider):
    row = grant(expires_at=FUTURE)
    hold(api, row)
    response = api.post(f"/v1/credentials/{row.id}/refresh")
    assert (response.status_code, response.json()["code"]) == (409, "on_hold")
    assert provider.calls == []


def test_worker_leaves_it_until_the_release(api, grant, provider):
    on_hold, other = grant("ann"), grant("bob")
    hold(api, on_hold)
    run_worker()
    assert [call["outcome"] for call in provider.calls] == ["granted"]
    assert get_state(api, other) == "fresh"
    assert REFRESH_TASK.next_due() == Grant.objects.get(credentials=other).next_at
    api.delete(f"/v1/credentials/{on_hold.id}/hold")
    run_worker()
    assert len(provider.calls) == 2
    assert get_state(api, on_hold) == "fresh"


def test_check_and_report_refresh_nothing(api, grant, provider):
    row = grant()
    hold(api, row)
    assert api.post(f"/v1/credentials/{row.id}/check").status_code == 200
    api.post(f"/v1/credentials/{row.id}/report", {"status": 401})
    run_worker()
    assert provider.calls == []
    assert api.get(f"/v1/credentials/{row.id}").json()["health"]["status"] != "error"


def test_command_leaves_it(api, account, grant, provider):
    row = grant()
    hold(api, row)
    out = io.StringIO()
    call_command("refresh_tokens", account=account.slug, stdout=out)
    assert out.getvalue() == "refreshed=0 failed=0\n"
    assert provider.calls == []


def test_grant_that_needs_another_one_says_so(api, grant, provider):
    row = grant()
    provider.grants.families["ann"].revoked = True
    assert api.post(f"/v1/credentials/{row.id}/token").status_code == 409
    hold(api, row)
    assert api.post(f"/v1/credentials/{row.id}/token").json()["code"] == "needs_reauth"
    assert get_state(api, row) == "hold"


def test_kind_that_is_not_refreshed_cannot_be_held(api, account):
    row = make_credential(account)
    response = api.post(f"/v1/credentials/{row.id}/hold")
    assert (response.status_code, response.json()["code"]) == (409, "not_refreshable")


def test_scope_and_account(account, other_api, grant):
    row = grant()
    reader = ApiClient(make_token(account, "credentials:read", "credentials:use"))
    assert reader.post(f"/v1/credentials/{row.id}/hold").status_code == 403
    assert other_api.post(f"/v1/credentials/{row.id}/hold").status_code == 404
    assert other_api.post("/v1/credentials/hold").json() == {"changed": 0}


class TestImport:
    def test_imported_on_hold(self, api, app, provider):
        token = provider.grants.authorize("ann")["refresh_token"]
        result, id = post(api, make_body(app, token, hold=True))
        assert result == "created"
        run_worker()
        assert provider.calls == []
        assert post(api, make_body(app, token)) == ("unchanged", id)
        assert post(api, make_body(app, token, hold=True)) == ("unchanged", id)
        assert post(api, make_body(app, token, hold=False)) == ("updated", id)
        assert Event.objects.filter(verb="credential.updated").get().changed == ["hold"]
        run_worker()
        assert len(provider.calls) == 1

    def test_new_grant_of_a_held_credential_stays_on_hold(self, api, app, provider):
        _, id = post(api, make_body(app, "first", hold=True))
        assert post(api, make_body(app, "second")) == ("updated", id)
        run_worker()
        assert provider.calls == []

    def test_whole_file(self, api, app, provider):
        bodies = [make_body(app, f"token-{n}", f"u{n}") for n in range(3)]
        bodies.append({**make_body(app, "token-3", "u3"), "hold": False})
        report = post_lines(api, *bodies, make_stripe_body(), query="?hold=true")
        assert (report["created"], report["rejected"]) == (5, 0)
        listed = api.get("/v1/credentials?refresh.state=hold").json()["data"]
        assert {each["properties"]["user_id"] for each in listed} == {"u0", "u1", "u2"}

    def test_kind_that_is_not_refreshed(self, api):
        response = api.post("/v1/credentials", make_stripe_body(hold=True))
        assert response.status_code == 422
        assert list(response.json()["validation_errors"]) == ["hold"]
        assert api.post("/v1/credentials", make_stripe_body(hold=False)).status_code == 200

    def test_csv_column(self, account, app, tmp_path):
        file = tmp_path / "grants.csv"
        file.write_text(
            "kind,oauth_app_id,properties.user_id,properties.refresh_token,hold\n"
            f"fake_oauth2,{app.id},ann,one,true\nfake_oauth2,{app.id},bob,two,\n"
            f"fake_oauth2,{app.id},cid,three,maybe\n"
        )
        err = io.StringIO()
        with pytest.raises(SystemExit):
            call_command(
                "import_credentials",
                str(file),
                account=account.slug,
                stdout=io.StringIO(),
                stderr=err,
            )
        assert "line 4, hold: must be true or false" in err.getvalue()
        on_hold = Credential.objects.filter(grant__on_hold=True)
        assert [row.properties["user_id"] for row in on_hold] == ["ann"]

    def test_command_option(self, account, app, tmp_path):
        file = tmp_path / "grants.ndjson"
        file.write_text(json.dumps(make_body(app, "one")))
        call_command("import_credentials", str(file), account=account.slug, hold=True)
        assert Grant.objects.get().on_hold


class TestAll:
    @pytest.fixture
    def rows(self, grant) -> list[Credential]:
        return [grant(f"user-{n}") for n in range(3)]

    def test_filters_select_what_is_held_and_released(self, api, rows, account):
        make_credential(account)
        assert api.post("/v1/credentials/hold?provider=fake").json() == {"changed": 3}
        assert api.post("/v1/credentials/hold").json() == {"changed": 0}
        assert len(api.get("/v1/credentials?refresh.state=hold").json()["data"]) == 3
        path = (
            f"/v1/credentials/hold?refresh.state=hold&created_before={rows[1].created_at:%Y}-01-01"
        )
        assert api.delete(f"{path}T00:00:00Z").json() == {"changed": 0}
        assert api.delete("/v1/credentials/hold?provider=other").json() == {"changed": 0}
        assert api.delete("/v1/credentials/hold?refresh.state=hold").json() == {"changed": 3}
        assert Event.objects.filter(verb="credential.hold_released").count() == 3

    def test_unknown_filter_changes_nothing(self, api, rows):
        assert api.post("/v1/credentials/hold?supplier=fake").status_code == 400
        assert api.post("/v1/credentials/hold", {"provider": "fake"}).status_code == 400
        assert not Credential.objects.filter(grant__on_hold=True).exists()

    def test_command(self, account, rows, app):
        out = io.StringIO()
        call_command("hold_credentials", account=account.slug, oauth_app=str(app.id), stdout=out)
        call_command("hold_credentials", account=account.slug, provider="other", stdout=out)
        call_command("hold_credentials", account=account.slug, release=True, stdout=out)
        assert out.getvalue() == "on_hold=3\non_hold=0\nreleased=3\n"

    def test_in_chunks(self, api, rows, monkeypatch):
        monkeypatch.setattr("credentials.services.hold.CHUNK_SIZE", 2)
        assert api.post("/v1/credentials/hold").json() == {"changed": 3}
        assert api.delete("/v1/credentials/hold").json() == {"changed": 3}
