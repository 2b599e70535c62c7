"""Revocation and introspection of tokens."""

from __future__ import annotations

import dataclasses

import pytest

from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    TransientError,
    UserError,
    introspect_token,
    revoke_token,
)
from providers.kinds import RevocationCall
from tests.oauth_apps.protocol.provider import build_raw_reply, build_reply
from vault.secret import Secret

TOKEN = Secret("rt-1")
APP = {"client_id": "client-1", "client_secret": "secret-1"}
DONE = build_raw_reply(b"")


@pytest.fixture
def standard(provider, make_client):
    return make_client(
        revocation_url=provider.url("/revoke"), introspection_url=provider.url("/introspect")
    )


@pytest.fixture
def own(provider, make_client):
    """A client whose provider has a call of its own."""

    def make(oauth=None, **more):
        call = {
            "method": "POST", "url": provider.url("/end"), "auth": "client", "token_field": "token",
            "hint": False, "ok": (200,),
        }  # fmt: skip
        return make_client(revocation=RevocationCall(**call | more), **(oauth or {}))

    return make


@pytest.mark.parametrize(
    ("hint", "sent"), [(None, {}), ("refresh_token", {"token_type_hint": "refresh_token"})]
)
def test_as_rfc_7009_has_it(provider, standard, hint, sent):
    provider.set_replies(DONE)
    revoke_token(standard, token=TOKEN, hint=hint)
    assert (provider.only_request.method, provider.only_request.path) == ("POST", "/revoke")
    assert provider.only_request.form == {"token": "rt-1", **sent, **APP}


@pytest.mark.parametrize(
    "answer",
    [
        DONE,
        build_raw_reply(b"<html>done</html>"),
        build_reply({}),
        build_reply({"error": "invalid_token"}, 400),
        build_reply({"error": "invalid_grant"}, 400),
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["empty", "html", "object", "unknown-token", "unknown-grant", "204"],
)
def test_done_or_dead_already(provider, standard, answer):
    provider.set_replies(answer)
    revoke_token(standard, token=TOKEN, hint=None)
    assert [call.form["token"] for call in provider.requests] == ["rt-1"]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (build_reply({"error": "invalid_client"}, 401), AppError, "invalid_client"),
        (
            build_reply({"error": "unsupported_token_type"}, 400),
            TransientError,
            "unsupported_token_type",
        ),
        (build_reply({"error": "access_denied"}, 403), UserError, "access_denied"),
        (build_reply({"error": "server_error"}), TransientError, "server_error"),
        (build_raw_reply(b"", 503, "Retry-After: 9"), TransientError, "temporarily_unavailable"),
        (build_raw_reply(b"", 302, "Location: /"), TransientError, "redirected"),
        (build_raw_reply(b"<html>", 404), TransientError, "unknown_error"),
        (build_raw_reply(b"", 202), TransientError, "unknown_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_not_done(provider, standard, answer, kind, code):
    provider.set_replies(answer)
    with pytest.raises(OAuth2Error) as caught:
        revoke_token(standard, token=TOKEN, hint=None)
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_the_older_secret_is_tried_here_too(provider, standard):
    provider.set_replies(build_reply({"error": "invalid_client"}, 401), DONE)
    revoke_token(
        dataclasses.replace(standard, secrets=(Secret("a"), Secret("b"))), token=TOKEN, hint=None
    )
    assert [seen.form["client_secret"] for seen in provider.requests] == ["a", "b"]


def test_a_provider_without_the_call(client):
    with pytest.raises(OAuth2Error) as caught:
        revoke_token(client, token=TOKEN, hint=None)
    assert (type(caught.value), caught.value.code) == (OAuth2Error, "not_supported")
    assert not caught.value.sent


def test_an_own_call_as_the_app(provider, own):
    provider.set_replies(DONE)
    revoke_token(own(token_field="t"), token=TOKEN, hint="refresh_token")
    assert provider.only_request.form == {"t": "rt-1", **APP}


def test_an_own_call_in_json_with_a_hint(provider, own):
    provider.set_replies(DONE)
    revoke_token(own({"token_format": "json"}, hint=True), token=TOKEN, hint="access_token")
    assert provider.only_request.json == {"token": "rt-1", "token_type_hint": "access_token", **APP}


def test_an_own_call_as_the_token_itself(provider, own):
    provider.set_replies(DONE)
    revoke_token(own(auth="bearer", token_field=None), token=TOKEN, hint=None)
    assert provider.only_request.headers["authorization"] == "Bearer rt-1"
    assert provider.only_request.body == b""


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_own_call_without_a_body(provider, own, method):
    provider.set_replies(DONE)
    revoke_token(own(method=method, auth="none"), token=Secret("r&t 1"), hint=None)
    assert (provider.only_request.method, provider.only_request.path) == (method, "/end")
    assert provider.only_request.query == {"token": "r&t 1"}
    assert provider.only_request.body == b""


def test_url_of_an_own_call_may_contain_the_client_id(provider, own):
    provider.set_replies(build_raw_reply(b"", 204))
    client = own(method="DELETE", url=provider.url("/apps/{client_id}/grant"), ok=(204,))
    revoke_token(client, token=TOKEN, hint=None)
    assert provider.only_request.path == "/apps/client-1/grant"


def test_status_in_ok_is_success(provider, own):
    provider.set_replies(build_reply({"error": "already gone"}, 404))
    revoke_token(own(ok=(200, 404)), token=TOKEN, hint=None)
    assert [call.form["token"] for call in provider.requests] == ["rt-1"]


def test_error_in_a_successful_response_counts(provider, own):
    provider.set_replies(build_reply({"ok": False, "error": "internal_error"}))
    with pytest.raises(TransientError):
        revoke_token(own({"quirks": ("slack_answer",)}, auth="bearer"), token=TOKEN, hint=None)


@pytest.mark.parametrize(
    "answer",
    [
        build_raw_reply(b"", 401),
        build_reply({"error": "invalid_token"}, 400),
        build_reply({"ok": False, "error": "invalid_grant"}),
    ],
    ids=["status", "name", "name-at-200"],
)
def test_expired_bearer_token_cannot_revoke_itself(provider, own, answer):
    """An expired access token says nothing about its refresh token."""
    provider.set_replies(answer)
    with pytest.raises(TransientError) as caught:
        revoke_token(own(auth="bearer"), token=TOKEN, hint=None)
    assert caught.value.code == "invalid_token"


@pytest.mark.parametrize("active", [True, False])
def test_introspection(provider, standard, active):
    provider.set_replies(build_reply({"active": active, "scope": "a"}))
    assert introspect_token(standard, token=TOKEN) == {"active": active, "scope": "a"}
    assert (provider.only_request.path, provider.only_request.form) == (
        "/introspect",
        {"token": "rt-1", **APP},
    )


@pytest.mark.parametrize(
    "body", [b"{}", b'{"active": "true"}', b'{"active": 1}', b'{"active": null}', b"", b"true"]
)
def test_introspection_without_a_statement(provider, standard, body):
    provider.set_replies(build_raw_reply(body))
    with pytest.raises(TransientError) as caught:
        introspect_token(standard, token=TOKEN)
    assert caught.value.code == "unreadable_answer"


def test_a_provider_without_introspection(client):
    with pytest.raises(OAuth2Error) as caught:
        introspect_token(client, token=TOKEN)
    assert caught.value.code == "not_supported"
