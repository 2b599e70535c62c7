"""Access tokens for each kind of grant, GitHub's installations among them."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    TransientError,
    UserError,
    build_authorization_url,
    request_access_token,
)
from oauth_apps.protocol.tokens import GRANTS
from oauth_apps.protocol.types import OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers.properties import resolve_url_variables
from providers.registry import get_registry
from tests.oauth_apps.protocol.keys import ec_key, pem, rsa_key
from tests.oauth_apps.protocol.provider import build_raw_reply, build_reply, build_token_reply
from tests.oauth_apps.protocol.test_assertions import parts, verify_rs256
from vault.secret import Secret

KINDS = sorted(get_registry().kinds)
GRANTED = sorted({kind.name for kind in get_registry().kinds.values() if kind.grant})
PROVIDERS = sorted(slug for slug, found in get_registry().providers.items() if found.oauth)
GITHUB = get_registry().kinds["github_app"]
NOW = dt.datetime(2026, 11, 18, 12, 0, tzinfo=dt.UTC)
INSTALLED = {"kind": "github_app", "installation_id": 42}
ISSUED = {"token": "ghs_1", "expires_at": "2026-11-18T13:00:00Z", "permissions": {"a": "read"}}


@pytest.mark.parametrize("held", ["rt-0", Secret("rt-0")], ids=["str", "secret"])
def test_a_refresh_token_is_used(provider, client, held):
    provider.set_replies(build_token_reply())
    request_access_token(client, get_registry().kinds["linear_oauth2"], {"refresh_token": held})
    assert provider.only_request.form["refresh_token"] == "rt-0"


@pytest.mark.parametrize("properties", [{}, {"refresh_token": ""}, {"refresh_token": None}])
def test_without_a_refresh_token_the_user_must_connect_again(provider, client, properties):
    with pytest.raises(UserError) as caught:
        request_access_token(client, get_registry().kinds["linear_oauth2"], properties)
    assert (caught.value.code, caught.value.sent) == ("missing_token", False)
    assert provider.requests == []


def test_properties_fill_the_url_and_secrets_do_not(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(
        refresh_url=provider.url("/{linear_org_id}/token"), variables={"linear_org_id": "config"}
    )
    kind = get_registry().kinds["linear_oauth2"]
    request_access_token(client, kind, {"refresh_token": "rt", "linear_org_id": "org-1"})
    assert provider.only_request.target == "/org-1/token"
    client = make_client(refresh_url=provider.url("/{refresh_token}"))
    with pytest.raises(AppError, match="The value of refresh_token is not set"):
        request_access_token(client, kind, {"refresh_token": "rt"})


def test_client_credentials_need_no_property(provider, client):
    provider.set_replies(build_token_reply())
    request_access_token(client, get_registry().kinds["twilio_app"], {"account_sid": "AC1"})
    assert provider.only_request.form["grant_type"] == "client_credentials"


def test_kind_without_grant_is_not_supported(client):
    with pytest.raises(OAuth2Error) as caught:
        request_access_token(client, get_registry().kinds["stripe_key"], {"secret": "sk"})
    assert caught.value.code == "not_supported"


@pytest.mark.parametrize("name", GRANTED)
def test_every_grant_of_the_files_is_known_and_its_urls_can_be_filled(name):
    kind = get_registry().kinds[name]
    provider = get_registry().providers[kind.provider]
    oauth = provider.get_oauth(kind)
    assert kind.grant in GRANTS
    assert oauth is not None
    shown = {key: str(value) for key, value in kind.example.items()}
    values = {**resolve_url_variables(provider, {}), **shown}
    for template in (oauth.token_url, oauth.refresh_url or "", *oauth.token_params.values()):
        assert "{" not in fill_url_template(template, values)


@pytest.mark.parametrize("slug", PROVIDERS)
def test_every_providers_users_can_be_sent_to_it(slug):
    provider = get_registry().providers[slug]
    assert provider.oauth is not None
    if provider.oauth.authorize_url is None:
        return
    values = dict.fromkeys(provider.variables, "arrakis") | resolve_url_variables(provider, {})
    client = OAuthClient(oauth=provider.oauth, client_id="c", secrets=(), variables=values)
    url = build_authorization_url(client, redirect_uri="r", state="s", scopes=["x"], verifier=None)
    ending = provider.oauth.authorize_url.rpartition("}")[2]
    assert url.startswith("https://")
    assert ending.partition("?")[0] in url
    assert "state=s" in url


@pytest.fixture
def github(provider, make_client):
    """The app of an installation at the fake provider, and its key and the one before."""
    url = provider.url("/app/installations/{installation_id}/access_tokens")
    oauth = dataclasses.replace(make_client().oauth, token_url=url, client_auth=None)
    keys = (Secret(pem(rsa_key(), old=True)), Secret(pem(ec_key())))
    return dataclasses.replace(make_client("Iv1.abc", secrets=()), oauth=oauth, secrets=keys)


def test_an_installations_token(provider, github, time_machine):
    time_machine.move_to(NOW, tick=False)
    provider.set_replies(build_reply(ISSUED, 201))
    found = request_access_token(github, GITHUB, INSTALLED)
    assert found.access_token == Secret("ghs_1")
    assert (found.expires_in, found.refresh_token) == (3600, None)
    assert found.document["permissions"] == {"a": "read"}
    seen = provider.only_request
    assert (seen.method, seen.target) == ("POST", "/app/installations/42/access_tokens")
    assert seen.headers["accept"] == "application/vnd.github+json"
    scheme, _, jwt = seen.headers["authorization"].partition(" ")
    header, claims, signed, signature = parts(jwt)
    verify_rs256(signed, signature)
    assert (scheme, header["alg"], claims["iss"]) == ("Bearer", "RS256", "Iv1.abc")
    assert (claims["iat"], claims["exp"]) == (NOW.timestamp() - 60, NOW.timestamp() + 300)


def test_the_older_key_is_tried_once(provider, github):
    provider.set_replies(
        build_reply({"message": "A JSON web token could not be decoded"}, 401),
        build_reply(ISSUED, 201),
    )
    assert request_access_token(github, GITHUB, INSTALLED).access_token == Secret("ghs_1")
    algorithms = [
        parts(seen.headers["authorization"].partition(" ")[2])[0]["alg"]
        for seen in provider.requests
    ]
    assert algorithms == ["RS256", "ES256"]


def test_an_app_without_a_key(github):
    with pytest.raises(AppError) as caught:
        request_access_token(dataclasses.replace(github, secrets=()), GITHUB, INSTALLED)
    assert caught.value.code == "invalid_key"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (build_reply({"message": "Bad credentials"}, 401), AppError, "invalid_client"),
        (
            build_reply({"message": "This installation has been suspended"}, 403),
            UserError,
            "installation_suspended",
        ),
        (
            build_reply({"message": "You have exceeded a secondary rate limit"}, 403),
            TransientError,
            "rate_limited",
        ),
        (build_reply({"message": "Not Found"}, 404), UserError, "installation_gone"),
        (build_reply({"message": "Integration not found"}, 404), AppError, "invalid_client"),
        (build_reply({"message": "Validation Failed"}, 422), TransientError, "invalid_request"),
        (build_reply({}, 429), TransientError, "rate_limited"),
        (build_raw_reply(b"<html>", 502), TransientError, "server_error"),
        (
            build_reply({"expires_at": "2026-11-18T13:00:00Z"}, 201),
            TransientError,
            "unreadable_answer",
        ),
        (build_raw_reply(b"<html>", 404), TransientError, "unknown_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_of_github(provider, github, answer, kind, code):
    provider.set_replies(answer)
    with pytest.raises(OAuth2Error) as caught:
        request_access_token(github, GITHUB, INSTALLED)
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_github_rate_limit_has_retry_after(provider, github):
    provider.set_replies(build_reply({}, 403, "Retry-After: 60"))
    with pytest.raises(TransientError) as caught:
        request_access_token(github, GITHUB, INSTALLED)
    assert caught.value.retry_after == 60


def test_client_credentials_have_the_scopes_of_the_app(provider, client):
    provider.set_replies(build_token_reply())
    scoped = dataclasses.replace(client, scopes=("read", "write"))
    request_access_token(scoped, get_registry().kinds["twilio_app"], {"account_sid": "AC1"})
    assert provider.only_request.form["scope"] == "read write"
