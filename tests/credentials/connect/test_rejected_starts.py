"""Requests that are rejected before the user is redirected to the provider."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from credentials.connect.models import AuthorizationAttempt
from tests.credentials.connect.flows import (
    Browser,
    assert_is_page,
    build_authorize_url,
    list_failure_codes,
    parse_query,
)

pytestmark = pytest.mark.usefixtures("reset_counters")


CHALLENGE = "c" * 43


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_authorize_names_missing_parameter(browser, app, name, value):
    response = browser.open(build_authorize_url(app, **{name: value}))
    assert response.status_code == 400
    assert_is_page(response)
    assert name.encode() in response.content
    assert not AuthorizationAttempt.objects.exists()
    assert name == "client_id" or list_failure_codes() == ["bad_request"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "client-1"),
        ("client_id", "01989aa0-0000-7000-8000-000000000000"),
        ("redirect_uri", "https://evil.example/connected"),
        ("state", "x" * 1025),
        ("state", "\x00"),
        ("scope", ""),
        ("scope", "admin"),
        ("scope", "read admin"),
        ("scope", "read  write"),
        ("scope", "read read"),
        ("scope", '"'),
        ("response_type", "token"),
        ("response_type", ""),
        ("kind", "alpha_key"),
        ("kind", "beta_oauth2"),
        ("kind", ""),
        ("kind", None),
        ("external_id", ""),
        ("external_id", "x" * 256),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("code_challenge_method", "plain"),
    ],
)
def test_authorize_rejects_invalid_parameter(browser, app, other_app, name, value):
    response = browser.open(build_authorize_url(app, **{name: value}))
    assert response.status_code == 400
    assert not AuthorizationAttempt.objects.exists()


@pytest.mark.parametrize("challenge", ["", "short", "c" * 44, "c" * 42 + "="])
def test_authorize_rejects_invalid_code_challenge(browser, app, challenge):
    for method in ("S256", "plain", ""):
        address = build_authorize_url(app, code_challenge=challenge, code_challenge_method=method)
        assert browser.open(address).status_code == 400


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "kind"])
def test_authorize_rejects_repeated_parameter(browser, app, name):
    address = build_authorize_url(app, scope="read")
    value = parse_query(address)[name]
    for second in (value, "other"):
        response = browser.open(f"{address}&{name}={quote(second)}")
        assert response.status_code == 400
    assert not AuthorizationAttempt.objects.exists()


OPEN_REDIRECTS = [
    "https://evil.example/connected",
    "https://acme.example/connected/",
    "https://acme.example/connected?x=1",
    "https://acme.example/connected#x",
    "https://acme.example/CONNECTED",
    "https://ACME.example/connected",
    "https://acme.example/connected/../evil",
    "https://acme.example/%63onnected",
    "https://acme.example:443/connected",
    "https://acme.example@evil.example/connected",
    "https://acme.example.evil.example/connected",
    "https://acme.example\\@evil.example/connected",
    "https://evil.example\\.acme.example/connected",
    "http://acme.example/connected",
    "//acme.example/connected",
    "///evil.example",
    "/connected",
    "https:acme.example/connected",
    "https:///acme.example/connected",
    "javascript:alert(1)",
    "data:text/html,x",
    " https://acme.example/connected",
    "https://acme.example/connected ",
    "https://acme.example/connected\r\nLocation: https://evil.example",
    "https://acme.example/connected%0d%0aX: y",
    "https://аcme.example/connected",
    "https://acme.example/connected\u200b",
]


def test_authorize_rejects_unregistered_redirect_uri(browser, app):
    accepted = []
    for uri in OPEN_REDIRECTS:
        response = browser.open(build_authorize_url(app, redirect_uri=uri))
        is_rejected = response.status_code == 400 and "Location" not in response
        if not is_rejected or b"evil.example" in response.content:
            accepted.append(uri)
    assert accepted == []
    assert list_failure_codes() == ["bad_request"] * len(OPEN_REDIRECTS)


def test_link_rejects_unregistered_return_to(api, app):
    accepted = []
    for uri in OPEN_REDIRECTS:
        body = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2", "return_to": uri}
        response = api.post("/v1/connect-links", body)
        if response.status_code != 422 or "return_to" not in response.json()["validation_errors"]:
            accepted.append(uri)
    assert accepted == []


def test_pages_reject_other_methods(db):
    client = Browser().client
    client.handler.enforce_csrf_checks = False
    paths = ("/link/oauth2/authorize", "/link/oauth2/callback/alpha", "/link/oauth2/start/x")
    accepted = [
        (method, path)
        for path in paths
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
        if client.generic(method, path).status_code != 405
    ]
    # Providers may post their response.
    assert accepted == [("POST", "/link/oauth2/callback/alpha")]
