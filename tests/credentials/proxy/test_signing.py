"""Signed requests: the examples of their documentation, and requests through the proxy."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl

import pytest

from credentials.models import CredentialUse
from credentials.proxy import signing
from egress import client
from tests.credentials.proxy.conftest import Caller
from tests.credentials.upstream import upstreams
from tests.factories import make_app, make_credential, make_token

SECRET = "s" * 64


@pytest.fixture
def desk(account):
    properties = {"kind": "binance_key", "api_key": "a" * 64, "api_secret": SECRET}
    return make_credential(account, {"properties": properties})


def is_signed(target: str) -> bool:
    query, _, signature = target.partition("?")[2].rpartition("&signature=")
    digest = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return signature == digest


def test_all_parameters_are_signed_with_our_time(trader, desk, binance):
    target = "/proxy/binance/api/v3/order?symbol=LTCBTC&recvWindow=5000&timestamp=1&signature=x"
    assert trader.get(target, headers={"X-MBX-APIKEY": "dummy"}).status == 200
    request = binance.requests[0]
    assert request.headers["x-mbx-apikey"] == "a" * 64
    assert is_signed(request.target)
    names = [name for name, _ in parse_qsl(request.target.partition("?")[2])]
    assert names == ["symbol", "recvWindow", "timestamp", "signature"]
    assert "timestamp=1&" not in request.target


def test_form_moves_to_the_query(trader, desk, binance):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"symbol=LTCBTC&side=BUY"
    assert trader.send("POST", "/proxy/binance/api/v3/order", body, headers=headers).status == 200
    request = binance.requests[0]
    assert is_signed(request.target)
    assert request.target.startswith("/api/v3/order?symbol=LTCBTC&side=BUY&timestamp=")
    assert request.body == b""
    assert "content-type" not in request.headers


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        ("?a=1&a=2", b"", "application/x-www-form-urlencoded"),
        ("?a=1", b"a=2", "application/x-www-form-urlencoded"),
        ("", b'{"a": 1}', "application/json"),
    ],
    ids=["twice", "in both", "json"],
)
def test_request_that_cannot_be_signed_is_rejected(trader, desk, binance, query, body, kind):
    target = f"/proxy/binance/api/v3/order{query}"
    assert trader.send("POST", target, body, headers={"Content-Type": kind}).status == 400
    assert binance.requests == []


def test_public_prices_are_requested_without_credential(trader, desk, binance):
    assert trader.get("/proxy/binance/api/v3/ticker/price?symbol=LTCBTC").status == 200
    request = binance.requests[0]
    assert request.target == "/api/v3/ticker/price?symbol=LTCBTC"
    assert "x-mbx-apikey" not in request.headers
    assert not CredentialUse.objects.exists()


def test_two_halves_sign_together(trader, account, binance):
    for name, key in (("api_key", "k" * 64), ("api_secret", "old"), ("api_secret", SECRET)):
        properties = {"kind": "binance_part_key", "name": name, "key": key}
        make_credential(account, {"properties": properties})
    assert trader.get("/proxy/binance/api/v3/account").status == 200
    request = binance.requests[0]
    assert request.headers["x-mbx-apikey"] == "k" * 64
    assert is_signed(request.target)
    assert CredentialUse.objects.count() == 2


def test_one_half_cannot_sign(trader, account, binance):
    properties = {"kind": "binance_part_key", "name": "api_key", "key": "k" * 64}
    row = make_credential(account, {"properties": properties})
    assert trader.get("/proxy/binance/api/v3/account").status == 400
    assert trader.get(f"/v1/proxy/credential/{row.id}/api/v3/account").status == 409


def test_oauth1_signature_of_the_rfc():
    """The parameters and the base string of RFC 5849 §3.4.1.1, with HMAC-SHA256 over it."""
    keys = signing.OAuth1Keys(
        "9djdj82h48djs9d2", "j49sk3j29djd", "kkk9d7dh3k39sjv7", "dh893hdasih9", "1"
    )
    url = "https://example.com/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b"
    made = signing.sign_oauth1_request(keys, "get", url, nonce="7d8f3e4a", timestamp=137131201)
    base = (
        "GET&https%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3Da%26b5%3D%253D%25253D%26c%2540"
        "%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26"
        "oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D137131201%26"
        "oauth_token%3Dkkk9d7dh3k39sjv7%26oauth_version%3D1.0"
    )
    digest = hmac.new(b"j49sk3j29djd&dh893hdasih9", base.encode(), hashlib.sha256).digest()
    expected = base64.b64encode(digest).decode().replace("+", "%2B").replace("/", "%2F")
    assert f'oauth_signature="{expected.replace("=", "%3D")}"' in made.headers[0][1]


def test_netsuite_requests_are_signed(account, authority, monkeypatch):
    host = "1234567-sb1.suitetalk.api.netsuite.com"
    with upstreams(authority, monkeypatch, host) as servers_by_host:
        app = make_app(account, "netsuite", client_id="ck", client_secret="client-secret")
        make_credential(
            account,
            {
                "properties": {
                    "kind": "netsuite_app",
                    "account": "1234567-sb1",
                    "token_id": "ti",
                    "token_secret": "token-secret",
                },
                "oauth_app_id": str(app.id),
            },
        )
        user = Caller(client.get_default_client(), make_token(account))
        assert user.get("/proxy/netsuite/services/rest/record/v1/customer?limit=1").status == 200
        sent = servers_by_host[host].requests[0].headers["authorization"]
    assert sent.startswith('OAuth realm="1234567_SB1", ')
    assert 'oauth_consumer_key="ck"' in sent
    assert "client-secret" not in sent
