"""Quirks of providers that differ from the standard."""

import copy
from typing import Any

import pytest

from providers import quirks
from providers.registry import get_registry

BOT = {
    "ok": True,
    "access_token": "xoxb-1",
    "token_type": "bot",
    "scope": "chat:write",
    "refresh_token": "xoxe-1",
    "expires_in": 43200,
    "team": {"id": "T1", "name": "Arrakis"},
    "authed_user": {"id": "U1"},
}
USER = {
    "ok": True,
    "team": {"id": "T1", "name": "Arrakis"},
    "authed_user": {
        "id": "U1",
        "access_token": "xoxp-1",
        "token_type": "user",
        "scope": "search:read",
        "refresh_token": "xoxe-2",
        "expires_in": 43200,
    },
}


def slack(answer: dict[str, Any]) -> dict[str, Any]:
    return quirks.TOKEN_RESPONSE["slack_answer"](answer)


def test_slacks_bot_token_is_the_token():
    assert slack(BOT) == BOT | {"token_type": "Bearer"}


def test_user_token_of_slack_is_used_without_a_bot_token():
    found = slack(USER)
    assert found["access_token"] == "xoxp-1"
    assert found["refresh_token"] == "xoxe-2"
    assert found["scope"] == "search:read"
    assert found["token_type"] == "Bearer"
    assert found["team"] == {"id": "T1", "name": "Arrakis"}


def test_bot_token_of_slack_has_priority():
    both = BOT | {"authed_user": USER["authed_user"]}
    assert slack(both)["access_token"] == "xoxb-1"
    assert slack(both)["scope"] == "chat:write"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("invalid_code", "invalid_grant"),
        ("invalid_refresh_token", "invalid_grant"),
        ("token_revoked", "invalid_grant"),
        ("bad_client_secret", "invalid_client"),
        ("invalid_client_id", "invalid_client"),
        ("bad_redirect_uri", "invalid_request"),
        ("ratelimited", "temporarily_unavailable"),
        ("internal_error", "server_error"),
        ("something_new", "something_new"),
    ],
)
def test_errors_of_slack_have_standard_names(said, meant):
    assert slack({"ok": False, "error": said}) == {"error": meant}


@pytest.mark.parametrize("answer", [{}, {"ok": True}, {"authed_user": None}, {"authed_user": 7}])
def test_response_without_a_token_gains_none(answer):
    assert "access_token" not in slack(answer)


def test_basecamp_names_a_refresh_in_type_and_leaves_a_code_as_it_is():
    change = quirks.TOKEN_REQUEST["basecamp_refresh"]
    headers = {"Accept": "application/json"}
    code = {"grant_type": "authorization_code", "type": "web_server"}
    refresh = {"grant_type": "refresh_token", "type": "web_server"}
    assert change(code, headers) == (code, headers)
    assert change(refresh, headers) == (refresh | {"type": "refresh"}, headers)


def test_no_quirk_changes_what_it_is_given():
    before = copy.deepcopy(USER)
    slack(USER)
    assert before == USER


def test_every_quirk_has_one_step_and_a_provider():
    tables = [
        *quirks.AUTHORIZATION_REQUEST,
        *quirks.TOKEN_REQUEST,
        *quirks.TOKEN_RESPONSE,
        *quirks.CALLBACK,
    ]
    assert sorted(tables) == sorted(quirks.NAMES)
    used = {n for p in get_registry().providers.values() if p.oauth for n in p.oauth.quirks}
    assert used == quirks.NAMES


# The documented example: https://shopify.dev/docs/apps/build/authentication-authorization
SHOPIFY = {
    "code": "0907a61c0c8d55e99db179b68161bc00",
    "hmac": "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
    "shop": "some-shop.myshopify.com",
    "state": "0.6784241404160823",
    "timestamp": "1337178173",
}


def test_shopifys_documented_callback_is_genuine():
    assert quirks.verify_shopify_callback(SHOPIFY, "hush")
    assert not quirks.verify_shopify_callback(SHOPIFY, "other")


@pytest.mark.parametrize("name", [*SHOPIFY, "host"])
def test_a_changed_callback_of_shopify_is_not_genuine(name):
    assert not quirks.verify_shopify_callback({**SHOPIFY, name: "x"}, "hush")
    without = {key: text for key, text in SHOPIFY.items() if key != name}
    assert quirks.verify_shopify_callback(without, "hush") is (name == "host")


def test_slack_app_of_a_whole_organization_has_the_organization_as_its_team():
    organization = {"id": "E1", "name": "Guild"}
    installed = BOT | {"team": None, "enterprise": organization, "is_enterprise_install": True}
    assert slack(installed)["team"] == organization
    assert slack(BOT | {"enterprise": organization})["team"] == BOT["team"]
