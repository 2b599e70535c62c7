"""The two documented flows, from the first address to an imported credential."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from credentials.connect.models import AuthorizationAttempt
from credentials.models import Credential
from tests.api import ApiClient
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    approve_and_get_code,
    exchange_code_at_api,
    list_event_verbs,
    parse_query,
    start_flow,
)
from tests.factories import make_token

VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


def test_authorize_sends_the_user_to_the_provider(browser, app, alpha):
    asked = parse_query(start_flow(browser, app))
    assert asked["client_id"] == app.client_id
    assert asked["redirect_uri"] == f"http://testserver/link/oauth2/callback/alpha/{app.id}"
    assert asked["scope"] == "read write"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) == 43
    assert asked["state"] != "company-state"


def test_the_cookie_that_binds_the_browser_is_for_nobody_else(browser, app):
    start_flow(browser, app)
    cookie = browser.client.cookies["connect"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["domain"] == ""
    assert cookie["path"] == "/"


def test_with_tls_the_cookie_is_bound_to_this_host(browser, app, settings):
    settings.SESSION_COOKIE_SECURE = True
    start_flow(browser, app)
    assert browser.client.cookies["__Host-connect"]["secure"]


def test_the_callback_sends_the_user_back_with_a_code_and_the_state(browser, app, alpha):
    answer = browser.open(alpha.approve(start_flow(browser, app)))
    assert answer.status_code == 303
    assert answer["Location"].startswith(f"{RETURN}?")
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]
    back = parse_query(answer["Location"])
    assert back["state"] == "company-state"
    assert set(back) == {"code", "state"}
    assert not Credential.objects.exists()


def test_the_code_is_exchanged_for_a_credential_with_its_tokens(browser, app, alpha):
    answer = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha))
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    document = answer.json()
    assert set(document) == {"credential", "state"}
    assert document["state"] == "company-state"
    assert document["credential"]["oauth_app_id"] == str(app.id)
    assert set(document["credential"]) == {"oauth_app_id", "properties"}
    properties = document["credential"]["properties"]
    assert properties["kind"] == "alpha_oauth2"
    assert properties["workspace"] == "ws-ann"
    assert properties["scope"] == "read write"
    assert properties["access_token"].startswith("access-ann-")
    assert properties["refresh_token"].startswith("refresh-ann-")
    assert properties["expires_at"].endswith("Z")


def test_what_was_exchanged_is_imported_unchanged(browser, app, alpha, api):
    credential = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()[
        "credential"
    ]
    answer = api.post("/v1/credentials", credential)
    assert answer.status_code == 200, answer.content
    assert answer["Latchkey-Import"] == "created"
    assert answer.json()["properties"]["access_token"] == "**********"


def test_the_same_account_connected_twice_is_one_credential(browser, app, alpha, api):
    for expected in ("created", "updated"):
        credential = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()[
            "credential"
        ]
        assert api.post("/v1/credentials", credential)["Latchkey-Import"] == expected
    assert Credential.objects.count() == 1


def test_a_whole_flow_leaves_its_trail(browser, app, alpha, api):
    api.post(
        "/v1/credentials",
        exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()["credential"],
    )
    assert list_event_verbs() == [
        "connect.granted",
        "connect.exchanged",
        "credential.created",
    ]


def test_an_attempt_keeps_no_secret_once_it_is_over(browser, app, alpha):
    approve_and_get_code(browser, app, alpha)
    attempt = AuthorizationAttempt.objects.get()
    assert attempt.status == "granted"
    assert attempt.sealed is None


def test_identity_by_a_call_and_an_owner_that_is_no_property(browser, app, alpha, api):
    code = approve_and_get_code(browser, app, alpha, kind="alpha_called_oauth2")
    credential = exchange_code_at_api(app, code).json()["credential"]
    assert alpha.whoami_calls == 1
    assert credential["properties"]["user"] == "ann"
    assert credential["owner_email"] == "ann@example.com"
    assert api.post("/v1/credentials", credential).status_code == 200


def test_a_kind_without_identity_needs_the_companys_own(browser, app, alpha, api):
    kind = "alpha_silent_oauth2"
    code = approve_and_get_code(browser, app, alpha, kind=kind, external_id="customer-1")
    credential = exchange_code_at_api(app, code).json()["credential"]
    assert credential["external_id"] == "customer-1"
    assert api.post("/v1/credentials", credential).json()["external_id"] == "customer-1"


def test_a_token_that_never_ends_goes_by_its_kinds_own_name(browser, app, alpha, api):
    """As Stripe's `secret`: it says by itself which account it is."""
    credential = exchange_code_at_api(
        app, approve_and_get_code(browser, app, alpha, kind="alpha_plain_oauth2")
    ).json()
    properties = credential["credential"]["properties"]
    assert set(properties) == {"kind", "secret"}
    assert properties["secret"].startswith("access-ann")
    assert api.post("/v1/credentials", credential["credential"]).status_code == 200


def test_the_companys_own_pkce_is_kept(browser, app, alpha):
    sent = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    code = approve_and_get_code(browser, app, alpha, **sent)
    assert exchange_code_at_api(app, code, code_verifier=VERIFIER).status_code == 200


def test_scope_may_ask_for_less(browser, app):
    assert parse_query(start_flow(browser, app, scope="read"))["scope"] == "read"


def test_the_documented_callback_without_the_id(browser, app, alpha, api):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    shown = api.patch(path, {"short_callback": True}).json()
    assert shown["callback_url"] == "http://testserver/link/oauth2/callback/alpha"
    address = start_flow(browser, app)
    assert parse_query(address)["redirect_uri"] == shown["callback_url"]
    assert browser.open(alpha.approve(address)).status_code == 303


def start(api: ApiClient, app, **more):
    sent = {
        "oauth_app_id": str(app.id),
        "credential_kind": "alpha_oauth2",
        "redirect_url": RETURN,
        **more,
    }
    return api.post("/v1/credentials/start-auth", sent)


def test_start_auth_answers_with_an_address_alone(api, app):
    answer = start(api, app)
    assert answer.status_code == 200, answer.content
    assert set(answer.json()) == {"start_url"}
    assert answer.json()["start_url"].startswith("http://testserver/link/oauth2/start/")


@pytest.mark.parametrize("state", ["text", {"user": 7, "deep": [1, None]}, 7, True])
def test_start_auth_brings_any_state_back(api, app, alpha, browser, state):
    url = start(api, app, state=state).json()["start_url"]
    back = browser.open(alpha.approve(browser.open(url)["Location"]))
    answer = exchange_code_at_api(app, parse_query(back["Location"])["code"])
    assert answer.status_code == 200
    assert answer.json()["state"] == state


def test_a_state_too_long_for_an_address_comes_with_the_exchange_alone(api, app, alpha, browser):
    state = {"long": "x" * 4000}
    url = start(api, app, state=state).json()["start_url"]
    back = parse_query(browser.open(alpha.approve(browser.open(url)["Location"]))["Location"])
    assert set(back) == {"code"}
    assert exchange_code_at_api(app, back["code"]).json()["state"] == state


def test_a_start_url_works_once(api, app, browser):
    url = start(api, app).json()["start_url"]
    assert browser.open(url).status_code == 303
    again = browser.open(url)
    assert again.status_code == 400
    assert b"already used" in again.content
    assert list_event_verbs()[-1] == "connect.refused"


def test_a_start_url_is_nobody_elses_after_its_first_browser(api, app, browser):
    url = start(api, app).json()["start_url"]
    browser.open(url)
    assert Browser().open(url).status_code == 400


def test_a_start_url_ends_after_five_minutes(api, app, browser, settings):
    url = start(api, app).json()["start_url"]
    settings.CLOCK_SHIFT_SECONDS = 5 * 60 + 1
    answer = browser.open(url)
    assert answer.status_code == 400
    assert b"expired" in answer.content


def test_looking_at_a_start_url_does_not_use_it_up(api, app, browser):
    url = start(api, app).json()["start_url"].removeprefix("http://testserver")
    assert browser.client.head(url).status_code == 405
    assert browser.open(url).status_code == 303


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("oauth_app_id", "01989aa0-0000-7000-8000-000000000000"),
        ("oauth_app_id", ""),
        ("oauth_app_id", 7),
        ("credential_kind", "alpha_key"),
        ("credential_kind", "linear_oauth2"),
        ("credential_kind", "nope"),
        ("credential_kind", ""),
        ("redirect_url", "https://evil.example/"),
        ("redirect_url", ""),
        ("redirect_url", None),
        ("state", {"x": "y" * 5200}),
        ("state", 2**64),
        ("state", "\ud800"),
        ("state", {"\ud800": 1}),
        ("state", json.loads("[" * 300 + "]" * 300)),
        ("scopes", ["admin"]),
        ("scopes", []),
        ("properties", {"workspace": "ws-eve"}),
        ("nope", 1),
    ],
)
def test_start_auth_names_what_is_wrong(api, app, field, value):
    answer = start(api, app, **{field: value})
    assert answer.status_code == 422
    assert any(name.startswith(field) for name in answer.json()["validation_errors"])
    assert not AuthorizationAttempt.objects.exists()


@pytest.mark.parametrize("field", ["oauth_app_id", "credential_kind", "redirect_url"])
def test_start_auth_needs_its_fields(api, app, field):
    sent = {
        "oauth_app_id": str(app.id),
        "credential_kind": "alpha_oauth2",
        "redirect_url": RETURN,
    }
    del sent[field]
    answer = api.post("/v1/credentials/start-auth", sent)
    assert answer.status_code == 422
    assert field in answer.json()["validation_errors"]


def test_a_kind_that_nothing_identifies_is_not_started(api, app):
    answer = start(api, app, credential_kind="alpha_silent_oauth2")
    assert answer.status_code == 422
    assert "external_id" in answer.json()["validation_errors"]


def test_start_auth_needs_the_scope_to_write(account, app):
    answer = start(ApiClient(make_token(account, "credentials:read")), app)
    assert answer.status_code == 403
    assert answer.json()["missing_scope"] == "credentials:write"


def test_another_accounts_app_is_not_there(stranger, app):
    answer = start(stranger, app)
    assert answer.status_code == 422
    assert "oauth_app_id" in answer.json()["validation_errors"]
