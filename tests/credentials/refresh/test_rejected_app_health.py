"""The health of credentials whose OAuth app is rejected says what a use of them says."""

from __future__ import annotations

import pytest

from credentials.core.displayed_health import filter_by_health_status, get_displayed_health
from credentials.health.models import NoticeMail
from credentials.models import AppPause, Credential
from oauth_apps.services import oauth_app_update
from tests.factories import TESTER, make_credential
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(provider, grant, api) -> list[Credential]:
    """Return five grants of an app that the provider rejects."""
    made = [grant(name) for name in ("ann", "bob", "cleo", "dan", "eve")]
    provider.mode = "invalid_client"
    for row in made[:2]:
        api.post(f"/v1/credentials/{row.id}/refresh")
    assert AppPause.objects.get().pauses == 1
    return made


def list_ids(api, status: str) -> set[str]:
    page = api.get(f"/v1/credentials?health.status={status}").json()
    return {row["id"] for row in page["data"]}


def test_unused_credential_of_a_rejected_app_is_a_warning_that_names_the_app(api, rows, app):
    health = api.get(f"/v1/credentials/{rows[4].id}").json()["health"]
    assert health["status"] == "warn"
    assert app.name in health["notes"][0]
    assert "OAuth app" in health["notes"][0]


def test_list_page_filter_check_and_token_agree(api, rows, account):
    key = make_credential(account)
    Credential.objects.filter(id=rows[3].id).update(
        health={"status": "ok", "notes": ["Fine."], "time": "2026-01-01T00:00:00Z"}
    )
    wanted = {str(row.id) for row in rows}
    assert list_ids(api, "warn") == wanted
    assert list_ids(api, "ok") == set()
    assert list_ids(api, "error") == set()
    assert list_ids(api, "unknown") == {str(key.id)}
    page = api.get("/v1/credentials").json()["data"]
    assert {row["id"] for row in page if row["health"]["status"] == "warn"} == wanted
    for row in rows:
        assert api.get(f"/v1/credentials/{row.id}").json()["health"]["status"] == "warn"
    checked = api.post(f"/v1/credentials/{rows[3].id}/check").json()["health"]
    assert (checked["status"], checked["notes"][-1]) == ("warn", "Fine.")
    response = api.post(f"/v1/credentials/{rows[3].id}/token")
    assert (response.status_code, response.json()["code"]) == (503, "app_paused")


def test_a_rejected_app_sends_no_mail_and_one_webhook(rows, account):
    assert not NoticeMail.objects.exists()
    changed = Credential.objects.filter(health_status__in=["warn", "error"])
    # The two whose refreshes failed first have evidence of their own.
    assert changed.count() <= 2
    assert WebhookDelivery.objects.filter(type="credential.health_changed").count() <= 2


def test_a_corrected_app_ends_the_warning_at_once(api, rows, app):
    oauth_app_update(
        account_id=app.account_id, id=app.id, actor=TESTER, changes={"client_secret": "another"}
    )
    assert str(rows[4].id) in list_ids(api, "unknown")
    health = api.get(f"/v1/credentials/{rows[4].id}").json()["health"]
    assert (health["status"], health["notes"]) == ("unknown", [])


def test_the_end_of_a_pause_does_not_end_the_warning(api, rows):
    AppPause.objects.update(until="2020-01-01T00:00:00Z")
    assert str(rows[4].id) in list_ids(api, "warn")
    document = api.get(f"/v1/credentials/{rows[4].id}").json()
    assert document["health"]["status"] == "warn"
    assert document["refresh"]["state"] != "paused"


def test_a_refresh_that_succeeds_ends_the_warning(api, rows, provider):
    AppPause.objects.update(until="2020-01-01T00:00:00Z")
    provider.mode = "ok"
    assert api.post(f"/v1/credentials/{rows[4].id}/refresh").status_code == 200
    assert str(rows[3].id) in list_ids(api, "unknown")


def test_error_of_a_credential_stays(api, rows):
    Credential.objects.filter(id=rows[4].id).update(
        health={"status": "error", "notes": ["Gone."], "time": "2026-01-01T00:00:00Z"}
    )
    assert list_ids(api, "error") == {str(rows[4].id)}
    assert str(rows[4].id) not in list_ids(api, "warn")
    health = api.get(f"/v1/credentials/{rows[4].id}").json()["health"]
    assert health["notes"] == ["Gone."]


def test_suspicion_of_one_grant_is_no_rejection_of_the_app(api, provider, grant):
    dead, other = grant("ann"), grant("bob")
    provider.mode = "invalid_client"
    api.post(f"/v1/credentials/{dead.id}/refresh")
    assert list_ids(api, "warn") == {str(dead.id)}
    assert list_ids(api, "unknown") == {str(other.id)}


def test_admin_shows_the_same_status(rows):
    row = Credential.objects.select_related("oauth_app__refresh_pause").get(id=rows[4].id)
    assert get_displayed_health(row)["status"] == "warn"


@pytest.mark.parametrize("status", ["unknown", "ok", "warn", "error"])
def test_filter_without_rejected_apps_is_the_column_alone(grant, status):
    grant("ann")
    rows = Credential.objects.all()
    assert str(filter_by_health_status(rows, status).query) == str(
        rows.filter(health_status=status).query
    )
