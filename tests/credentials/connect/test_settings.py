"""The settings of connecting."""

from __future__ import annotations

import pytest

from events.models import Event
from tests.api import ApiClient
from tests.factories import make_token


def test_app_settings_have_redirect_uri(api, app):
    settings = api.get(f"/v1/oauth-apps/{app.id}/connect-settings").json()
    assert settings == {
        "completes_itself": False,
        "short_callback": False,
        "callback_url": f"http://testserver/link/oauth2/callback/alpha/{app.id}",
    }


def test_account_settings_have_no_return_urls_by_default(api):
    assert api.get("/v1/connect-settings").json() == {"return_urls": [], "completes_itself": False}


@pytest.mark.parametrize("field", ["completes_itself", "short_callback"])
@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_settings_must_be_booleans(api, app, field, value):
    response = api.patch(f"/v1/oauth-apps/{app.id}/connect-settings", {field: value})
    assert response.status_code == 422
    assert field in response.json()["validation_errors"]


def test_patch_keeps_omitted_settings(api):
    api.patch("/v1/connect-settings", {"return_urls": ["https://acme.example/a"]})
    settings = api.patch("/v1/connect-settings", {"completes_itself": True}).json()
    assert settings == {"return_urls": ["https://acme.example/a"], "completes_itself": True}


def test_only_a_change_is_recorded(api, account):
    for _ in range(2):
        api.patch("/v1/connect-settings", {"completes_itself": True})
    events = Event.objects.filter(target_id=account.id, verb="account.updated")
    assert [event.changed for event in events] == [["connect.completes_itself"]]


def test_settings_are_separate_per_account(api, other_api):
    api.patch("/v1/connect-settings", {"completes_itself": True})
    assert other_api.get("/v1/connect-settings").json()["completes_itself"] is False


@pytest.mark.parametrize("scope", ["credentials:write", "oauth_apps:read"])
def test_patch_requires_scope_for_apps(account, scope):
    api = ApiClient(make_token(account, scope))
    assert api.patch("/v1/connect-settings", {"completes_itself": True}).status_code == 403


def test_app_of_another_account_is_not_found(other_api, app):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    assert other_api.get(path).status_code == 404
    assert other_api.patch(path, {"completes_itself": True}).status_code == 404
