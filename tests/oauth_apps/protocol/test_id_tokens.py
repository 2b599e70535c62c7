"""Validation of ID tokens."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress import Response
from oauth_apps.protocol import OAuthClient, TransientError, validate_id_token
from oauth_apps.protocol.responses import parse_token_response
from tests.oauth_apps.protocol.conftest import make_oauth
from vault.secret import Secret

NOW = dt.datetime(2026, 11, 18, 12, 0, tzinfo=dt.UTC)
GOOD = {
    "iss": "https://issuer.example", "sub": "u1", "aud": "client-1", "exp": NOW.timestamp() + 300,
    "iat": NOW.timestamp(), "email": "a@b.example",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(payload: object) -> str:
    return f"{part({'alg': 'RS256'})}.{part(payload)}.c2ln"


def check(id_token: object, issuer: str | None = "https://issuer.example", nonce=None, **variables):
    body = json.dumps({"access_token": "at", "id_token": id_token}).encode()
    oauth = make_oauth(issuer=issuer)
    client = OAuthClient(oauth=oauth, client_id="client-1", secrets=(), variables=variables)
    return validate_id_token(
        client, parse_token_response(Response(200, (), body), oauth), nonce=nonce
    )


def test_good():
    assert check(token(GOOD)) == GOOD


def test_the_issuer_is_a_template():
    claims = GOOD | {"iss": "https://test.salesforce.com"}
    assert check(token(claims), "https://{login}.salesforce.com", login="test") == claims


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["client-1"]},
        {"aud": ["client-1", "other"], "azp": "client-1"},
        {"azp": "client-1"},
        {"exp": NOW.timestamp() - 59},
        {"exp": int(NOW.timestamp()) + 1},
        {"nonce": "unasked"},
    ],
    ids=str,
)
def test_unusual_urls_are_accepted(changed):
    assert check(token(GOOD | changed)) == GOOD | changed


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iss": "https://issuer.example/"}, "issuer"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["https://issuer.example"]}, "issuer"),
        ({"aud": "client-2"}, "another client"),
        ({"aud": "client-1x"}, "another client"),
        ({"aud": []}, "another client"),
        ({"aud": None}, "another client"),
        ({"aud": {"client-1": 1}}, "another client"),
        ({"aud": ["client-1", "other"]}, "another client"),
        ({"azp": "other"}, "another client"),
        ({"exp": NOW.timestamp() - 60}, "expired"),
        ({"exp": "9999999999"}, "expired"),
        ({"exp": True}, "expired"),
        ({"exp": None}, "expired"),
        ({"sub": ""}, "no user"),
        ({"sub": 7}, "no user"),
        ({"sub": None}, "no user"),
    ],
    ids=str,
)
def test_not_good(changed, reason):
    with pytest.raises(TransientError, match=reason) as caught:
        check(token(GOOD | changed))
    assert caught.value.code == "invalid_id_token"


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "sub"])
def test_missing_claim_is_rejected(missing):
    with pytest.raises(TransientError):
        check(token({name: value for name, value in GOOD.items() if name != missing}))


@pytest.mark.parametrize(
    "claim", [{}, {"nonce": "other"}, {"nonce": ["n"]}, {"nonce": ""}], ids=str
)
def test_a_nonce_that_was_sent_must_come_back(claim):
    with pytest.raises(TransientError, match="another attempt"):
        check(token(GOOD | claim), nonce=Secret("n"))
    assert check(token(GOOD | {"nonce": "n"}), nonce=Secret("n"))["sub"] == "u1"


@pytest.mark.parametrize(
    "issuer",
    ["https://auth.example.com", "https://auth.example.com/", "https://auth.example.com/t/v2"],
)
def test_unknown_issuer_must_be_on_the_token_endpoints_host(issuer):
    assert check(token(GOOD | {"iss": issuer}), issuer=None)["sub"] == "u1"


@pytest.mark.parametrize(
    "issuer",
    [
        "http://auth.example.com",
        "https://example.com",
        "https://auth.example.com.evil.example/",
        "https://auth.example.com@evil.example/",
        "https://auth.example.com:444",
        "auth.example.com",
        "",
        None,
        7,
    ],
)
def test_similar_bodies_are_not_repeated(issuer):
    with pytest.raises(TransientError, match="issuer"):
        check(token(GOOD | {"iss": issuer}), issuer=None)


TWICE = part(b'{"sub": 1, "sub": 2}')


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        7,
        {},
        "a.b",
        "a.b.c.d",
        f"{part({})}.{part(GOOD)}=.x",
        f"..{part(GOOD)}",
        f"x.{part(b'not json')}.y",
        f"x.{part([])}.y",
        f"x.{TWICE}.y",
        "x.a.y",
        "x.é.y",
        token(GOOD | {"x": "a" * 66_000}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_unreadable(value):
    with pytest.raises(TransientError, match="missing or cannot be read") as caught:
        check(value)
    assert caught.value.__context__ is None


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: f"x.{part(raw)}.y"))
def test_any_text_is_rejected_with_a_known_reason(value):
    with pytest.raises(TransientError):
        check(value)
