"""Requests to the token endpoint."""

from __future__ import annotations

import base64
import json

import pytest

from oauth_apps.protocol import (
    AppError,
    TransientError,
    UserError,
    exchange_code,
    refresh_tokens,
    request_client_credentials_token,
)
from oauth_apps.protocol.transport import build_client_authentication
from providers import quirks
from providers.kinds import Refresh, ResponseRule, Source
from providers.registry import DATA_DIR
from tests.oauth_apps.protocol.keys import ec_key, pem
from tests.oauth_apps.protocol.provider import build_raw_reply, build_reply, build_token_reply
from vault.secret import Secret

APP = {"client_id": "client-1", "client_secret": "secret-1"}
VERIFIER = Secret("v" * 43)

KEY = Secret(pem(ec_key()))
SCHEMA = json.loads((DATA_DIR.parent / "schema.json").read_text())
CLIENT_AUTH = SCHEMA["$defs"]["oauth"]["properties"]["client_auth"]["enum"]


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_a_code_is_exchanged(provider, make_client):
    provider.set_replies(build_token_reply(refresh_token="rt-1", scope="a b", team={"id": 7}))
    found = exchange_code(
        make_client(pkce=True),
        code=Secret("c+ode"),
        redirect_uri="https://lk.example/cb",
        verifier=VERIFIER,
    )
    assert found.access_token == Secret("at-1")
    assert found.refresh_token == Secret("rt-1")
    assert (found.expires_in, found.scope, found.token_type) == (3600, "a b", "Bearer")
    assert found.document["team"] == {"id": 7}
    assert (provider.only_request.method, provider.only_request.target) == ("POST", "/token")
    assert provider.only_request.headers["accept"] == "application/json"
    assert provider.only_request.form == {
        "grant_type": "authorization_code",
        "code": "c+ode",
        "redirect_uri": "https://lk.example/cb",
        "code_verifier": "v" * 43,
        **APP,
    }


@pytest.mark.parametrize(("pkce", "verifier"), [(False, VERIFIER), (None, VERIFIER), (True, None)])
def test_no_verifier_where_there_was_no_challenge(provider, make_client, pkce, verifier):
    provider.set_replies(build_token_reply())
    exchange_code(make_client(pkce=pkce), code=Secret("c"), redirect_uri="r", verifier=verifier)
    assert "code_verifier" not in provider.only_request.form


def test_a_token_is_refreshed(provider, client):
    provider.set_replies(build_token_reply())
    found = refresh_tokens(client, refresh_token=Secret("rt-0"))
    assert found.refresh_token is None
    assert provider.only_request.form == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-0",
        **APP,
    }


def test_refresh_goes_to_its_own_url_where_there_is_one(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(refresh_url=provider.url("/{tenant}/refresh"), variables={"tenant": "t1"})
    refresh_tokens(client, refresh_token=Secret("rt-0"))
    assert provider.only_request.target == "/t1/refresh"


def test_a_code_never_goes_to_the_refresh_url(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(refresh_url=provider.url("/refresh"))
    exchange_code(client, code=Secret("c"), redirect_uri="r", verifier=None)
    assert provider.only_request.target == "/token"


@pytest.mark.parametrize(("scopes", "sent"), [((), {}), (("a", "b"), {"scope": "a,b"})])
def test_client_credentials(provider, make_client, scopes, sent):
    provider.set_replies(build_token_reply())
    request_client_credentials_token(make_client(scope_separator=","), scopes=scopes)
    assert provider.only_request.form == {"grant_type": "client_credentials", **sent, **APP}


def test_basic_encodes_id_and_secret_before_it_joins_them(provider, make_client):
    """RFC 6749 §2.3.1: a colon in the id splits nothing."""
    provider.set_replies(build_token_reply())
    client = make_client("id:1", ("s&é /+",), client_auth="client_secret_basic")
    request_client_credentials_token(client, scopes=())
    assert provider.only_request.headers["authorization"] == basic("id%3A1:s%26%C3%A9+%2F%2B")
    assert provider.only_request.form == {"grant_type": "client_credentials"}


def test_an_unknown_method_sends_nothing(provider, make_client):
    with pytest.raises(AppError) as caught:
        request_client_credentials_token(make_client(client_auth=None), scopes=())
    assert (caught.value.code, caught.value.sent) == ("client_auth_unknown", False)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("method", "secrets"),
    [("none", ("secret-1", "secret-0")), ("client_secret_basic", ()), ("private_key_jwt", ())],
)
def test_a_public_client_names_itself_alone(provider, make_client, method, secrets):
    provider.set_replies(build_token_reply())
    refresh_tokens(make_client(client_auth=method, secrets=secrets), refresh_token=Secret("rt"))
    assert provider.only_request.form == {
        "grant_type": "refresh_token",
        "refresh_token": "rt",
        "client_id": "client-1",
    }
    assert "authorization" not in provider.only_request.headers


@pytest.mark.parametrize("method", [name for name in CLIENT_AUTH if name])
def test_every_method_that_a_file_may_name_is_known(method):
    fields, headers = build_client_authentication(
        method, client_id="c", secret=KEY, url="https://as.example/"
    )
    assert "client_id" in fields or "Authorization" in headers


def test_json_where_the_provider_wants_it(provider, make_client):
    provider.set_replies(build_token_reply())
    refresh_tokens(make_client(token_format="json"), refresh_token=Secret('r"t'))
    assert provider.only_request.json == {
        "grant_type": "refresh_token",
        "refresh_token": 'r"t',
        **APP,
    }


def test_static_parameters_are_templates_and_replace_none_of_ours(provider, make_client):
    provider.set_replies(build_token_reply())
    client = make_client(
        token_params={"audience": "https://{domain}/api/v2/", "grant_type": "theirs"},
        variables={"domain": "acme.auth0.com"},
    )
    request_client_credentials_token(client, scopes=())
    assert provider.only_request.form == {
        "audience": "https://acme.auth0.com/api/v2/",
        "grant_type": "client_credentials",
        **APP,
    }


def test_quirk_changes_the_request(provider, make_client, monkeypatch):
    def renamed(fields, headers):
        return {"client_key": fields["client_id"]}, {**headers, "X-Version": "1"}

    monkeypatch.setitem(quirks.TOKEN_REQUEST, "renamed", renamed)
    provider.set_replies(build_token_reply())
    request_client_credentials_token(make_client(quirks=("renamed",)), scopes=())
    assert provider.only_request.form == {"client_key": "client-1"}
    assert provider.only_request.headers["x-version"] == "1"


def test_quirk_changes_the_response(provider, make_client, monkeypatch):
    monkeypatch.setitem(
        quirks.TOKEN_RESPONSE, "nested", lambda found: {**found, "access_token": found["a"]["t"]}
    )
    provider.set_replies(build_reply({"a": {"t": "inner"}}))
    found = request_client_credentials_token(make_client(quirks=("nested",)), scopes=())
    assert found.access_token == Secret("inner")
    assert found.document["a"] == {"t": "inner"}


REFUSED = build_reply({"error": "invalid_client"}, 401)


def test_older_secret_is_tried_once_after_invalid_client(provider, make_client):
    provider.set_replies(REFUSED, build_token_reply())
    found = refresh_tokens(make_client(secrets=("new", "old")), refresh_token=Secret("rt"))
    assert found.access_token == Secret("at-1")
    assert [seen.form["client_secret"] for seen in provider.requests] == ["new", "old"]


def test_older_secret_is_tried_after_a_rule_says_that_the_app_is_rejected(provider, make_client):
    rule = ResponseRule(
        meaning="app",
        source=Source("https://docs.example.com", "2026-11-30"),
        at="/errors/*/resource",
        values=("Application",),
    )
    rejected = {"message": "Bad Request", "errors": [{"resource": "Application"}]}
    provider.set_replies(build_reply(rejected, 400), build_token_reply())
    client = make_client(
        secrets=("new", "old"),
        refresh=Refresh(None, None, None, None, None, responses=(rule,)),
    )
    assert refresh_tokens(client, refresh_token=Secret("rt")).access_token == Secret("at-1")
    assert [seen.form["client_secret"] for seen in provider.requests] == ["new", "old"]


def test_both_secrets_rejected(provider, make_client):
    provider.set_replies(REFUSED)
    with pytest.raises(AppError) as caught:
        refresh_tokens(make_client(secrets=("new", "old")), refresh_token=Secret("rt"))
    assert caught.value.code == "invalid_client"
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (build_reply({"error": "invalid_grant"}, 400), UserError),
        (build_reply({"error": "unauthorized_client"}, 400), AppError),
        (build_reply({}, 503), TransientError),
        (build_raw_reply(b"<html>", 401), TransientError),
    ],
    ids=["user", "other-app-error", "outage", "unreadable"],
)
def test_nothing_else_is_retried(provider, make_client, answer, error):
    provider.set_replies(answer)
    with pytest.raises(error):
        refresh_tokens(make_client(secrets=("new", "old")), refresh_token=Secret("rt"))
    assert len(provider.requests) == 1


def test_error_with_the_older_secret_is_raised(provider, make_client):
    provider.set_replies(REFUSED, build_reply({"error": "invalid_grant"}, 400))
    with pytest.raises(UserError):
        refresh_tokens(make_client(secrets=("new", "old")), refresh_token=Secret("rt"))


@pytest.mark.parametrize(
    "app", [{}, {"client_auth": "none", "secrets": ("new", "old")}], ids=["one", "none-used"]
)
def test_the_same_request_is_not_made_twice(provider, make_client, app):
    provider.set_replies(REFUSED)
    with pytest.raises(AppError):
        refresh_tokens(make_client(**app), refresh_token=Secret("rt"))
    assert len(provider.requests) == 1
