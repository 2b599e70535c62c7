"""Parsing of token responses."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress import Response
from oauth_apps.protocol import OAuth2Error, TokenResponse, TransientError
from oauth_apps.protocol.responses import MAX_LIFETIME_SECONDS, parse_token_response
from providers import quirks
from tests.oauth_apps.protocol.conftest import make_oauth
from vault.secret import Secret

NOW = dt.datetime(2026, 11, 18, 12, 26, 40, tzinfo=dt.UTC)


def read(body: bytes | str, status: int = 200, **oauth) -> TokenResponse:
    raw = body.encode() if isinstance(body, str) else body
    return parse_token_response(Response(status, (), raw), make_oauth(**oauth))


def answer(**document) -> TokenResponse:
    return read(json.dumps({"access_token": "at", **document}))


def code_of(body: bytes | str, status: int = 200) -> str:
    with pytest.raises(TransientError) as caught:
        read(body, status)
    return caught.value.code


def test_the_least():
    found = answer()
    assert found.access_token == Secret("at")
    assert (found.refresh_token, found.expires_in, found.refresh_expires_in) == (None, None, None)
    assert (found.scope, found.token_type) == (None, "Bearer")
    assert found.document == {"access_token": "at"}


def test_an_end_is_compared_with_the_providers_own_clock():
    """The clocks of this server and of the provider may differ by hours."""
    body = json.dumps({"access_token": "at", "expires_at": "2031-01-01T01:00:00Z"}).encode()
    headers = (("date", "Wed, 01 Jan 2031 00:00:00 GMT"),)
    found = parse_token_response(Response(200, headers, body), make_oauth())
    assert found.expires_in == 3600


def test_nothing_shows_when_it_is_printed(client):
    found = answer(access_token="held-1", refresh_token="held-2", team="held-3")
    assert "held" not in f"{found} {found!r}"
    assert "secret-1" not in f"{client} {client!r}"


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "null",
        "[]",
        '"access_token"',
        "7",
        "{",
        "{}",
        '{"access_token": null}',
        '{"access_token": ""}',
        '{"access_token": 7}',
        '{"access_token": ["at"]}',
        '{"access_token": "a\\nt"}',
        '{"access_token": "\\u00e9"}',
        '{"access_token": "\\u0000"}',
        "<html><body>access_token</body></html>",
        '{"access_token": "at", "x": ' + "[" * 5000 + "]" * 5000 + "}",
    ],
    ids=str,
)
def test_unreadable(body):
    assert code_of(body) == "unreadable_answer"


@pytest.mark.parametrize("size", [1, 16 * 1024])
def test_tokens_of_any_length_in_between(size):
    found = answer(access_token="a" * size, refresh_token="r" * size)
    assert found.access_token == Secret("a" * size)
    assert found.refresh_token == Secret("r" * size)


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_a_token_that_is_too_long(name):
    document = json.dumps({"access_token": "at", name: "a" * (16 * 1024 + 1)})
    assert code_of(document) == "unreadable_answer"


@pytest.mark.parametrize("value", [7, ["r"], "a\nb", "é"])
def test_a_refresh_token_that_cannot_be_used_is_unreadable(value):
    document = json.dumps({"access_token": "at", "refresh_token": value})
    assert code_of(document) == "unreadable_answer"


@pytest.mark.parametrize("value", ["", None, False, True, [], {}])
def test_empty_refresh_token_counts_as_missing(value):
    assert answer(refresh_token=value).refresh_token is None


@pytest.mark.parametrize("value", ["Bearer", "bearer", "BEARER", "bot", "user", "", None])
def test_bearer_tokens_of_any_spelling(value):
    assert answer(token_type=value).token_type == "Bearer"


@pytest.mark.parametrize("value", ["mac", "DPoP", "N_A", "Bearer ", 7, [], {}, True])
def test_unusual_token_type_loses_no_tokens(value):
    tokens = answer(token_type=value, refresh_token="rt")
    assert (tokens.access_token, tokens.refresh_token) == (Secret("at"), Secret("rt"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (3599.9, 3599),
        (0, 60),
        (-5, 60),
        ("-5", 60),
        (59, 59),
        (1, 1),
        (1e30, MAX_LIFETIME_SECONDS),
        (10**4000, MAX_LIFETIME_SECONDS),
        ("9" * 20, MAX_LIFETIME_SECONDS),
        (None, None),
        ("", None),
        ("soon", None),
        ("9" * 21, None),
        ("٣", None),
        (True, None),
        ([3600], None),
        ({}, None),
    ],
)
def test_expires_in(value, seconds):
    assert answer(expires_in=value).expires_in == seconds


def test_infinity_is_long():
    assert read('{"access_token": "at", "expires_in": 1e999}').expires_in == MAX_LIFETIME_SECONDS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-18T13:26:40Z", 3600),
        ("2026-11-18T12:26:40Z", 60),
        ("2020-01-01T00:00:00Z", 60),
        ("9999-12-31T23:59:59Z", MAX_LIFETIME_SECONDS),
        ("2026-11-18", None),
        ("2026-02-30T00:00:00Z", None),
        (1_795_008_400, 3600),
        (None, None),
    ],
)
def test_expires_at_where_expires_in_is_left_out(value, seconds, time_machine):
    time_machine.move_to(NOW, tick=False)
    assert answer(expires_at=value).expires_in == seconds
    assert answer(expires_at=value, expires_in=77).expires_in == 77


@pytest.mark.parametrize(
    "name", ["refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"]
)
@pytest.mark.parametrize(("value", "seconds"), [(86400, 86400), ("7", 7), (0, None), ("x", None)])
def test_how_long_the_refresh_token_lives(name, value, seconds):
    assert answer(**{name: value}).refresh_expires_in == seconds


@pytest.mark.parametrize(
    ("value", "scope"),
    [
        ("a b", "a b"),
        ("a,b", "a,b"),
        (["a", "b"], "a b"),
        ("", None),
        ([], None),
        (None, None),
        (7, None),
        (["a", 7], None),
        ("a\nb", None),
        ("a" * (16 * 1024 + 1), None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_scope(value, scope):
    assert answer(scope=value).scope == scope


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
MEMBERS = [
    "access_token", "refresh_token", "token_type", "expires_in", "expires_at", "scope", "error",
    "error_description", "refresh_expires_in", "ok", "authed_user",
]  # fmt: skip
documents = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(MEMBERS, values)
) | st.fixed_dictionaries(
    {"access_token": st.just("at")}, optional=dict.fromkeys(MEMBERS[1:], values)
)
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 418, 429, 500, 503])
quirky = st.sampled_from([(), *[(name,) for name in quirks.TOKEN_RESPONSE]])


def outcome(body: bytes, status: int, names: tuple[str, ...] = ()) -> TokenResponse | OAuth2Error:
    try:
        return read(body, status, quirks=names)
    except OAuth2Error as error:
        return error


@given(body=st.binary(max_size=200), status=statuses)
def test_any_bytes_are_tokens_or_an_error(body, status):
    assert isinstance(outcome(body, status), TokenResponse | OAuth2Error)


@given(value=values | documents, status=statuses, names=quirky)
def test_any_json_is_tokens_or_an_error(value, status, names):
    found = outcome(json.dumps(value).encode(), status, names)
    assert isinstance(found, TokenResponse | OAuth2Error)
    if isinstance(found, TokenResponse):
        assert status // 100 == 2
        assert 1 <= len(found.access_token.expose()) <= 16 * 1024
        assert found.expires_in is None or 60 <= found.expires_in <= MAX_LIFETIME_SECONDS
        assert found.refresh_token is None or found.refresh_token.expose()
