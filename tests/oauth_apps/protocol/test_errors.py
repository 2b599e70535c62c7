"""Errors: their class and code, and that they repeat no secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from egress import Response, Timeouts
from oauth_apps.protocol import (
    AppError,
    OAuth2Error,
    OAuthClient,
    TransientError,
    UserError,
    build_authorization_error,
    introspect_token,
    refresh_tokens,
    request_client_credentials_token,
    revoke_token,
    transport,
)
from oauth_apps.protocol.responses import parse_token_response
from tests.egress.servers import Connection
from tests.oauth_apps.protocol.conftest import make_oauth
from tests.oauth_apps.protocol.provider import build_raw_reply, build_reply, build_token_reply
from vault.secret import Secret


def error_of(document, status: int = 400, **headers: str) -> OAuth2Error:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    with pytest.raises(OAuth2Error) as caught:
        parse_token_response(Response(status, lines, body), make_oauth())
    return caught.value


BY_NAME = {
    UserError: "invalid_grant access_denied interaction_required login_required consent_required"
    " bad_verification_code",
    AppError: "invalid_client unauthorized_client redirect_uri_mismatch unsupported_grant_type"
    " unsupported_response_type invalid_scope invalid_target incorrect_client_credentials"
    " application_suspended",
    TransientError: "invalid_request server_error temporarily_unavailable slow_down"
    " something_of_their_own",
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in BY_NAME.items() for name in names.split()]
)
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_the_name_decides_at_any_status(kind, name, status):
    if (name, status) == ("access_denied", 401):
        kind = AppError  # Auth0's word for a wrong client secret.
    error = error_of({"error": name, "access_token": "at"}, status)
    assert type(error) is kind
    assert error.sent


def test_names_in_capitals():
    assert error_of({"error": "INVALID_GRANT"}).code == "invalid_grant"


@pytest.mark.parametrize("name", ["error", "code", "type", "anything"])
def test_an_object_in_place_of_the_name(name):
    assert error_of({"error": {"status": 401, name: "invalid_grant"}}).code == "invalid_grant"


@pytest.mark.parametrize(
    "value", [7, True, ["invalid_grant"], {"a": {"b": "invalid_grant"}}, "x" * 9]
)
def test_unknown_error_is_transient(value):
    error = error_of({"error": value})
    assert (type(error), error.code) == (TransientError, "unknown_error")


@pytest.mark.parametrize("value", [None, "", False, 0, {}, []])
def test_an_empty_error_is_none(value):
    response = Response(200, (), json.dumps({"access_token": "at", "error": value}).encode())
    assert parse_token_response(response, make_oauth()).access_token == Secret("at")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, "redirected"),
        (307, "redirected"),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "temporarily_unavailable"),
    ],
)
@pytest.mark.parametrize(
    "body", [b"<html>", b'{"error": "invalid_grant"}', b'{"access_token": "at"}']
)
def test_a_status_that_blames_neither_user_nor_app(status, code, body):
    error = error_of(body, status)
    assert (type(error), error.code) == (TransientError, code)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b"<html>invalid_grant</html>", "unknown_error"),
        (401, b"", "unknown_error"),
        (400, b"{}", "unknown_error"),
        (404, b'{"access_token": "at"}', "unknown_error"),
    ],
)
def test_rejection_without_a_reason_is_transient(status, body, code):
    error = error_of(body, status)
    assert (type(error), error.code) == (TransientError, code)


def test_errors_carry_it():
    assert error_of({}, 429, retry_after="30").retry_after == 30
    assert error_of({"error": "temporarily_unavailable"}, 400, retry_after="30").retry_after == 30
    assert error_of({}, 500).retry_after is None
    assert error_of({}, 503, retry_after="86400").retry_after == 3600


def test_errors_carry_a_date_as_seconds():
    asked, sent = "Wed, 18 Nov 2026 12:28:40 GMT", "Wed, 18 Nov 2026 12:26:40 GMT"
    assert error_of({}, 503, retry_after=asked, date=sent).retry_after == 120


def test_the_callbacks_errors_mean_the_same():
    assert type(build_authorization_error("access_denied")) is UserError
    assert type(build_authorization_error("unauthorized_client")) is AppError
    assert build_authorization_error("<script>").code == "unknown_error"


def hangs(connection: Connection) -> None:
    connection.pause(1)


def resets(connection: Connection) -> None:
    connection.reset()


def drips(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        connection.pause(0.02)
        connection.send(b" ")


CUT = build_token_reply()[:-5]
HUGE = build_raw_reply(b" " * (1024 * 1024 + 1))


def cut(connection: Connection) -> None:
    connection.send(CUT)
    connection.sock.close()


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (hangs, "timeout"),
        (drips, "timeout"),
        (resets, "connection_lost"),
        (cut, "connection_lost"),
        (HUGE, "answer_too_large"),
        (b"nonsense\r\n\r\n", "connection_lost"),
    ],
    ids=["hangs", "drips", "resets", "cut", "huge", "nonsense"],
)
def test_missing_response_is_transient_and_may_have_been_sent(provider, client, behaviour, code):
    client = replace(client, timeouts=replace(client.timeouts, total=0.5))
    provider.set_replies(behaviour)
    with pytest.raises(TransientError) as caught:
        refresh_tokens(client, refresh_token=Secret("rt"))
    assert (caught.value.code, caught.value.sent) == (code, True)


def test_failed_connection_was_not_sent(make_client, settings):
    settings.EGRESS_ALLOW = "127.0.0.1:1"
    client = make_client(refresh_url="http://127.0.0.1:1/token")
    with pytest.raises(TransientError) as caught:
        refresh_tokens(client, refresh_token=Secret("rt"))
    assert (caught.value.code, caught.value.sent) == ("unreachable", False)
    assert caught.value.detail.startswith("127.0.0.1: ")


def test_blocked_address_is_transient(make_client):
    client = make_client(refresh_url="http://169.254.169.254/token")
    with pytest.raises(TransientError) as caught:
        refresh_tokens(client, refresh_token=Secret("rt"))
    assert (caught.value.code, caught.value.sent) == ("refused", False)


def test_unsent_second_attempt_counts_as_sent(provider, make_client, settings):
    def refuse_and_close_the_door(connection: Connection) -> None:
        settings.EGRESS_ALLOW = ""
        connection.send(build_reply({"error": "invalid_client"}, 401))

    provider.set_replies(refuse_and_close_the_door)
    with pytest.raises(TransientError) as caught:
        request_client_credentials_token(make_client(secrets=("new", "old")), scopes=())
    assert (caught.value.code, caught.value.sent) == ("refused", True)


def test_both_secrets_share_the_time_of_one_request(make_client, monkeypatch):
    moments = iter([100.0, 109.5])
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    given = []

    def ask(secret: Secret | None, limits: Timeouts) -> str:
        given.append(limits.total)
        if len(given) == 1:
            raise AppError("invalid_client", "Refused.")
        return "done"

    assert transport.try_secrets(make_client(secrets=("new", "old")), ask) == "done"
    assert given == [12.0, 2.5]


def test_a_redirect_is_not_followed(provider, client):
    provider.set_replies(
        build_raw_reply(b"", 307, f"Location: {provider.url('/elsewhere')}"), build_token_reply()
    )
    with pytest.raises(TransientError):
        refresh_tokens(client, refresh_token=Secret("rt"))
    assert len(provider.requests) == 1


CANARY = "cnry7f3aSecretCanary"


def echoes() -> Iterator[tuple[str, bytes]]:
    """Return responses that repeat the secret in every possible place."""
    names = (
        "error error_description error_uri message detail token_type expires_in scope access_token"
        " refresh_token id_token active code"
    )
    document = dict.fromkeys(names.split(), CANARY) | {CANARY: CANARY}
    lines = (f"Retry-After: {CANARY}", f"Location: https://{CANARY}.example/")
    twice = b'{"%b": 1, "%b": 2}' % (CANARY.encode(), CANARY.encode())
    for status in (200, 302, 400, 401, 403, 404, 429, 500, 503):
        yield f"{status}-everywhere", build_reply(document, status, *lines)
        yield f"{status}-object", build_reply({"error": {"code": CANARY, CANARY: CANARY}}, status)
        yield f"{status}-nested", build_reply({"access_token": {CANARY: CANARY}}, status)
        yield f"{status}-cut", build_raw_reply(CANARY.encode() + b"{", status)
        yield f"{status}-twice", build_raw_reply(twice, status)
    yield "header", build_raw_reply(b" ", 200, f"X-{CANARY}: \x00{CANARY}")


CALLS = {
    "refresh": lambda client: refresh_tokens(client, refresh_token=Secret(CANARY)),
    "revoke": lambda client: revoke_token(client, token=Secret(CANARY), hint=None),
    "introspect": lambda client: introspect_token(client, token=Secret(CANARY)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize("answer", [pytest.param(raw, id=name) for name, raw in echoes()])
def test_no_error_repeats_what_the_provider_echoes(provider, make_client, call, answer, caplog):
    caplog.set_level(0)
    provider.set_replies(answer)
    client = make_client(
        secrets=(CANARY,),
        revocation_url=provider.url("/revoke"),
        introspection_url=provider.url("/introspect"),
    )
    error = raised(call, client)
    if error is not None:
        assert CANARY not in f"{error} {error!r} {error.args} {vars(error)}"
        assert (error.__cause__, error.__context__) == (None, None)
    assert CANARY not in caplog.text


def raised(call: Callable[[OAuthClient], object], client: OAuthClient) -> OAuth2Error | None:
    try:
        call(client)
    except OAuth2Error as error:
        return error
    return None


def test_most_of_those_responses_are_errors(provider, client):
    """Else the test above would prove nothing."""
    found = []
    for _, answer in echoes():
        provider.set_replies(answer)
        found.append(raised(CALLS["refresh"], client))
    assert sum(error is not None for error in found) == len(found)
