"""The two documented flows, from the first request to an imported credential."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from credentials.connect.models import AuthorizationAttempt
from credentials.connect.tasks import EXPIRE_TASK
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
from tests.credentials.connect.test_expiry import run_expire_task
from tests.factories import make_token
from vault.sealing import Place, unseal

VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


def test_authorize_sends_the_user_to_the_provider(browser, app, alpha):
    params = parse_query(start_flow(browser, app))
    assert params["client_id"] == app.client_id
    assert params["redirect_uri"] == f"http://testserver/link/oauth2/callback/alpha/{app.id}"
    assert params["scope"] == "read write"
    assert params["code_challenge_method"] == "S256"
    assert len(params["state"]) == 43
    assert params["state"] != "company-state"


def test_browser_cookie_is_http_only_and_lax(browser, app):
    start_flow(browser, app)
    cookie = browser.client.cookies["connect"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["domain"] == ""
    assert cookie["path"] == "/"


def test_browser_cookie_has_host_prefix_with_tls(browser, app, settings):
    settings.SESSION_COOKIE_SECURE = True
    start_flow(browser, app)
    assert browser.client.cookies["__Host-connect"]["secure"]


def test_callback_redirects_with_code_and_state(browser, app, alpha):
    response = browser.open(alpha.approve(start_flow(browser, app)))
    assert response.status_code == 303
    assert response["Location"].startswith(f"{RETURN}?")
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]
    back = parse_query(response["Location"])
    assert back["state"] == "company-state"
    assert set(back) == {"code", "state"}
    assert not Credential.objects.exists()


def test_code_is_exchanged_for_credential_with_tokens(browser, app, alpha):
    response = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha))
    assert response.status_code == 200, response.content
    assert response["Cache-Control"] == "no-store"
    document = response.json()
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


def test_exchanged_credential_is_imported_unchanged(browser, app, alpha, api):
    credential = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()[
        "credential"
    ]
    response = api.post("/v1/credentials", credential)
    assert response.status_code == 200, response.content
    assert response["Latchkey-Import"] == "created"
    assert response.json()["properties"]["access_token"] == "**********"


def test_connecting_account_twice_updates_credential(browser, app, alpha, api):
    for expected in ("created", "updated"):
        credential = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()[
            "credential"
        ]
        assert api.post("/v1/credentials", credential)["Latchkey-Import"] == expected
    assert Credential.objects.count() == 1


def test_flow_records_its_events(browser, app, alpha, api):
    api.post(
        "/v1/credentials",
        exchange_code_at_api(app, approve_and_get_code(browser, app, alpha)).json()["credential"],
    )
    assert list_event_verbs() == [
        "connect.granted",
        "connect.exchanged",
        "credential.created",
    ]


def test_granted_attempt_keeps_only_what_a_repeated_callback_needs(browser, app, alpha, settings):
    code = approve_and_get_code(browser, app, alpha)
    attempt = AuthorizationAttempt.objects.get()
    assert attempt.status == "granted"
    assert attempt.sealed is not None
    value = unseal(Place.of(attempt, "sealed"), attempt.sealed)
    assert value == {"state": "company-state", "code": code}
    settings.CLOCK_SHIFT_SECONDS = 601 + 3601
    assert EXPIRE_TASK.next_due() is not None
    run_expire_task()
    attempt.refresh_from_db()
    assert attempt.sealed is None


def test_call_provides_identity_and_owner_email(browser, app, alpha, api):
    code = approve_and_get_code(browser, app, alpha, kind="alpha_called_oauth2")
    credential = exchange_code_at_api(app, code).json()["credential"]
    assert alpha.whoami_calls == 1
    assert credential["properties"]["user"] == "ann"
    assert credential["owner_email"] == "ann@example.com"
    assert api.post("/v1/credentials", credential).status_code == 200


def test_kind_without_identity_uses_external_id(browser, app, alpha, api):
    kind = "alpha_silent_oauth2"
    code = approve_and_get_code(browser, app, alpha, kind=kind, external_id="customer-1")
    credential = exchange_code_at_api(app, code).json()["credential"]
    assert credential["external_id"] == "customer-1"
    assert api.post("/v1/credentials", credential).json()["external_id"] == "customer-1"


def test_permanent_token_gets_property_name_of_kind(browser, app, alpha, api):
    """Test a kind like Stripe's `secret`, which identifies its account by itself."""
    credential = exchange_code_at_api(
        app, approve_and_get_code(browser, app, alpha, kind="alpha_plain_oauth2")
    ).json()
    properties = credential["credential"]["properties"]
    assert set(properties) == {"kind", "secret"}
    assert properties["secret"].startswith("access-ann")
    assert api.post("/v1/credentials", credential["credential"]).status_code == 200


def test_company_code_challenge_is_verified(browser, app, alpha):
    params = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    code = approve_and_get_code(browser, app, alpha, **params)
    assert exchange_code_at_api(app, code, code_verifier=VERIFIER).status_code == 200


def test_scope_can_request_fewer_scopes(browser, app):
    assert parse_query(start_flow(browser, app, scope="read"))["scope"] == "read"


def test_short_callback_has_no_app_id(browser, app, alpha, api):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    app_settings = api.patch(path, {"short_callback": True}).json()
    assert app_settings["callback_url"] == "http://testserver/link/oauth2/callback/alpha"
    address = start_flow(browser, app)
    assert parse_query(address)["redirect_uri"] == app_settings["callback_url"]
    assert browser.open(alpha.approve(address)).status_code == 303


def start(api: ApiClient, app, **more):
    body = {
        "oauth_app_id": str(app.id),
        "credential_kind": "alpha_oauth2",
        "redirect_url": RETURN,
        **more,
    }
    return api.post("/v1/credentials/start-auth", body)


def test_start_auth_returns_only_start_url(api, app):
    response = start(api, app)
    assert response.status_code == 200, response.content
    assert set(response.json()) == {"start_url"}
    assert response.json()["start_url"].startswith("http://testserver/link/oauth2/start/")


@pytest.mark.parametrize("state", ["text", {"user": 7, "deep": [1, None]}, 7, True])
def test_start_auth_returns_any_json_state(api, app, alpha, browser, state):
    url = start(api, app, state=state).json()["start_url"]
    back = browser.open(alpha.approve(browser.open(url)["Location"]))
    response = exchange_code_at_api(app, parse_query(back["Location"])["code"])
    assert response.status_code == 200
    assert response.json()["state"] == state


def test_long_state_is_only_in_token_response(api, app, alpha, browser):
    state = {"long": "x" * 4000}
    url = start(api, app, state=state).json()["start_url"]
    back = parse_query(browser.open(alpha.approve(browser.open(url)["Location"]))["Location"])
    assert set(back) == {"code"}
    assert exchange_code_at_api(app, back["code"]).json()["state"] == state


def test_start_url_works_once(api, app, browser):
    url = start(api, app).json()["start_url"]
    assert browser.open(url).status_code == 303
    again = browser.open(url)
    assert again.status_code == 400
    assert b"already used" in again.content
    assert list_event_verbs()[-1] == "connect.refused"


def test_start_url_rejects_second_browser(api, app, browser):
    url = start(api, app).json()["start_url"]
    browser.open(url)
    assert Browser().open(url).status_code == 400


def test_start_url_expires_after_five_minutes(api, app, browser, settings):
    url = start(api, app).json()["start_url"]
    settings.CLOCK_SHIFT_SECONDS = 5 * 60 + 1
    response = browser.open(url)
    assert response.status_code == 400
    assert b"expired" in response.content


def test_head_request_does_not_use_start_url(api, app, browser):
    url = start(api, app).json()["start_url"].removeprefix("http://testserver")
    assert browser.client.head(url).status_code == 204
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
def test_start_auth_names_invalid_field(api, app, field, value):
    response = start(api, app, **{field: value})
    assert response.status_code == 422
    assert any(name.startswith(field) for name in response.json()["validation_errors"])
    assert not AuthorizationAttempt.objects.exists()


@pytest.mark.parametrize("field", ["oauth_app_id", "credential_kind", "redirect_url"])
def test_start_auth_names_missing_field(api, app, field):
    body = {
        "oauth_app_id": str(app.id),
        "credential_kind": "alpha_oauth2",
        "redirect_url": RETURN,
    }
    del body[field]
    response = api.post("/v1/credentials/start-auth", body)
    assert response.status_code == 422
    assert field in response.json()["validation_errors"]


def test_start_auth_requires_external_id_without_identity(api, app):
    response = start(api, app, credential_kind="alpha_silent_oauth2")
    assert response.status_code == 422
    assert "external_id" in response.json()["validation_errors"]


def test_start_auth_requires_write_scope(account, app):
    response = start(ApiClient(make_token(account, "credentials:read")), app)
    assert response.status_code == 403
    assert response.json()["missing_scope"] == "credentials:write"


def test_app_of_another_account_is_not_found(other_api, app):
    response = start(other_api, app)
    assert response.status_code == 422
    assert "oauth_app_id" in response.json()["validation_errors"]
