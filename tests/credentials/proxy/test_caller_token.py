"""The caller's token: in exactly one header, and not forwarded."""

from __future__ import annotations

import pytest

from accounts import token_format
from tests.credentials.proxy.conftest import KEY, basic_auth_header
from tests.factories import make_token


@pytest.mark.parametrize("place", ["username", "password", "bearer"])
def test_accepted_places_of_the_token(caller, path, upstream, place):
    headers = {
        "username": basic_auth_header(caller.token),
        "password": basic_auth_header("anything", caller.token),
        "bearer": {"Authorization": f"bEARER {caller.token}"},
    }[place]
    assert caller.get(f"{path}/x", bearer=False, headers=headers).status == 200
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_providers_own_header_is_accepted(caller, create_credential, upstream):
    create_credential("upheader_key", key=KEY)
    own_server = {"X-Api-Key": caller.token}
    assert caller.get("/proxy/upheader/x", bearer=False, headers=own_server).status == 200
    assert upstream.requests[0].headers["x-api-key"] == KEY
    assert "authorization" not in upstream.requests[0].headers


def test_another_providers_header_is_rejected(caller, path, upstream):
    own_server = {"X-Api-Key": caller.token}
    assert caller.get(f"{path}/x", bearer=False, headers=own_server).status == 401
    assert upstream.requests == []


def test_the_callers_own_key_is_replaced(caller, create_credential, upstream):
    create_credential("upheader_key", key=KEY)
    assert caller.get("/proxy/upheader/x", headers={"X-Api-Key": "dummy"}).status == 200
    assert upstream.requests[0].headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    "more",
    [
        {"X-Api-Key": "{token}"},
        {"X-Other": "Bearer {token}"},
        {"Authorization": "Bearer nonsense", "X-Api-Key": "{token}"},
    ],
    ids=["key header too", "some header too", "an authorization beside it"],
)
def test_two_tokens_are_rejected(caller, create_credential, upstream, more):
    create_credential("upheader_key", key=KEY)
    headers = {name: value.format(token=caller.token) for name, value in more.items()}
    bearer_too = "Authorization" not in headers
    response = caller.get("/proxy/upheader/x", bearer=bearer_too, headers=headers)
    assert response.status == 400
    assert upstream.requests == []


def test_tokens_in_both_halves_of_basic_are_rejected(caller, path):
    headers = basic_auth_header(caller.token, caller.token)
    assert caller.get(f"{path}/x", bearer=False, headers=headers).status == 400


def test_token_in_the_target_is_rejected(caller, path, upstream):
    assert caller.get(f"{path}/x?key={caller.token}").status == 400
    assert upstream.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic eDp5"},
        {"Cookie": "sessionid=x"},
        {"Authorization": f"Bearer {token_format.generate_token(token_format.TOKEN_PREFIX)}"},
    ],
    ids=["none", "form", "base64", "no token in it", "cookie", "unknown"],
)
def test_missing_token_is_401(caller, path, upstream, headers):
    response = caller.get(f"{path}/x", bearer=False, headers=headers)
    assert response.status == 401
    assert response.header("WWW-Authenticate")
    assert upstream.requests == []


def test_unknown_host_is_rejected(caller, path, upstream):
    assert caller.get(f"{path}/x", HTTP_HOST="evil.example").status == 400
    assert caller.get(f"{path}/x", HTTP_HOST="").status == 400
    assert upstream.requests == []


def test_plain_http_is_rejected_if_https_is_required(caller, path, settings, upstream):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert caller.get(f"{path}/x").status == 403
    told = {"X-Forwarded-Proto": "https"}
    response = caller.get(f"{path}/redirect", headers=told)
    assert response.header("Location") == f"https://127.0.0.1:8001{path}/echo?moved=1"


def test_connect_and_trace_are_rejected(caller, path, upstream):
    for method in ("CONNECT", "TRACE"):
        assert caller.send(method, f"{path}/x").status == 400
    assert upstream.requests == []


def test_removed_scope_applies_at_once(caller, account, path):
    caller.token = make_token(account, "credentials:use")
    assert caller.get(f"{path}/x").status == 200
