"""What a company chooses for connecting."""

from __future__ import annotations

import pytest

from events.models import Event
from tests.api import ApiClient
from tests.factories import make_token


def test_an_app_shows_the_redirect_uri_to_register(api, app):
    shown = api.get(f"/v1/oauth-apps/{app.id}/connect-settings").json()
    assert shown == {
        "completes_itself": False,
        "short_callback": False,
        "callback_url": f"http://testserver/link/oauth2/callback/alpha/{app.id}",
    }


def test_an_account_starts_with_no_return_urls(api):
    assert api.get("/v1/connect-settings").json() == {"return_urls": [], "completes_itself": False}


@pytest.mark.parametrize("field", ["completes_itself", "short_callback"])
@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_a_choice_is_true_or_false(api, app, field, value):
    answer = api.patch(f"/v1/oauth-apps/{app.id}/connect-settings", {field: value})
    assert answer.status_code == 422
    assert field in answer.json()["validation_errors"]


def test_what_is_left_out_stays(api):
    api.patch("/v1/connect-settings", {"return_urls": ["https://acme.example/a"]})
    shown = api.patch("/v1/connect-settings", {"completes_itself": True}).json()
    assert shown == {"return_urls": ["https://acme.example/a"], "completes_itself": True}


def test_a_change_is_an_event_and_none_is_none(api, account):
    for _ in range(2):
        api.patch("/v1/connect-settings", {"completes_itself": True})
    events = Event.objects.filter(target_id=account.id, verb="account.updated")
    assert [event.changed for event in events] == [["connect.completes_itself"]]


def test_one_accounts_choice_is_no_others(api, stranger):
    api.patch("/v1/connect-settings", {"completes_itself": True})
    assert stranger.get("/v1/connect-settings").json()["completes_itself"] is False


@pytest.mark.parametrize("scope", ["credentials:write", "oauth_apps:read"])
def test_choosing_needs_the_scope_to_write_apps(account, scope):
    api = ApiClient(make_token(account, scope))
    assert api.patch("/v1/connect-settings", {"completes_itself": True}).status_code == 403


def test_another_accounts_app_is_not_there(stranger, app):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    assert stranger.get(path).status_code == 404
    assert stranger.patch(path, {"completes_itself": True}).status_code == 404
