"""Secrets that a request cannot carry: none becomes a second header line."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from credentials.services.custom_providers import custom_provider_create
from egress import client
from tests.credentials.proxy.conftest import Caller
from tests.credentials.upstream import upstreams
from tests.factories import TESTER, keep_debris, make_app, make_credential, make_token

VALUES = {
    "crlf": "key_0123\r\nX-Evil=1",
    "lf": "key_0123\nX-Evil=1",
    "cr": "key_0123\rX-Evil=1",
    "at the end": "key_01234567\r\n",
    "tab after": "key_01234567\t",
    "escape": "key_0123\x1b[31m",
    "delete": "key_0123\x7f",
    "beyond latin-1": "key_0123\u4e2d\u6587",
    "line separator": "key_0123\u2028X-Evil=1",
}
KINDS = ("upstream_key", "upheader_key", "upquery_key", "upbasic_key")
each = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())


@pytest.fixture(autouse=True)
def keeps_debris():
    """Rows that were stored before secrets were cleaned still have such values."""
    with keep_debris():
        yield


def send(caller: Caller, row: Any, path: str = "/x") -> Any:
    return caller.get(f"/v1/proxy/credential/{row.id}{path}")


@each
@pytest.mark.parametrize("kind", ["upstream_key", "upheader_key"])
def test_invalid_header_value_is_rejected_and_not_sent(raw_caller, account, raw, kind, value):
    row = make_credential(account, {"properties": {"kind": kind, "key": value}})
    response = send(raw_caller, row)
    assert response.status == 409
    assert value not in response.body.decode()
    assert raw.heads == []


@each
def test_custom_service_key_stays_one_header(raw_caller, account, raw, value):
    custom_provider_create(
        account_id=account.id,
        actor=TESTER,
        name="weather",
        base_url=f"http://127.0.0.1:{raw.port}",
        auth_header="X-Weather-Key",
        prefix="",
    )
    properties = {"kind": "custom_key", "provider": "custom.weather", "key": value}
    assert send(raw_caller, make_credential(account, {"properties": properties})).status == 409
    assert raw.heads == []


@each
def test_query_parameter_carries_the_whole_secret(raw_caller, account, raw, value):
    row = make_credential(account, {"properties": {"kind": "upquery_key", "key": value}})
    assert send(raw_caller, row).status == 200
    target = raw.heads[0].split(b"\r\n")[0].split()[1].decode()
    assert parse_qs(urlsplit(target).query, keep_blank_values=True) == {"api_key": [value]}
    assert b"\nx-evil" not in raw.heads[0].lower()


@each
def test_basic_carries_the_whole_secret(raw_caller, account, raw, value):
    row = make_credential(account, {"properties": {"kind": "upbasic_key", "key": value}})
    assert send(raw_caller, row).status == 200
    assert raw.heads[0].lower().count(b"\r\nauthorization: basic ") == 1
    sent = raw.heads[0].split(b"Authorization: Basic ")[1].split(b"\r\n")[0]
    assert base64.b64decode(sent).decode() == f"{value}:"
    assert b"\nx-evil" not in raw.heads[0].lower()


def test_user_name_with_a_colon_is_rejected(raw_caller, account, raw):
    """RFC 7617 §2: what is before the first colon is the user name."""
    row = make_credential(account, {"properties": {"kind": "upbasic_key", "key": "admin:x_0123"}})
    assert send(raw_caller, row).status == 409
    assert raw.heads == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    ["key\x00_0123", "key_\ud800", "  \t ", "k" * 65_537],
    ids=["nul", "surrogate", "blank", "long"],
)
def test_secret_that_cannot_be_stored_names_its_field(api, upstream, kind, value):
    body = json.dumps({"properties": {"kind": kind, "key": value}}).encode()
    response = api.send("POST", "/v1/credentials", body)
    assert response.status_code == 422
    assert list(response.json()["validation_errors"]) == ["properties.key"]


@pytest.mark.parametrize(("kind", "status"), list(zip(KINDS, (200, 200, 414, 200), strict=True)))
def test_longest_secret_is_sent_whole_or_rejected(raw_caller, account, raw, kind, status):
    row = make_credential(account, {"properties": {"kind": kind, "key": "k" * 16_384}})
    assert send(raw_caller, row).status == status
    assert [head.count(b"k" * 1000) > 0 or kind == "upbasic_key" for head in raw.heads] == (
        [True] if status == 200 else []
    )


def test_latin_1_is_sent_unchanged(raw_caller, account, raw):
    row = make_credential(account, {"properties": {"kind": "upheader_key", "key": "kéy_01234567"}})
    assert send(raw_caller, row).status == 200
    assert "\r\nX-Api-Key: kéy_01234567".encode("latin-1") in raw.heads[0]


@pytest.fixture
def signed(account, authority, monkeypatch):
    """A caller, and the servers of Binance and NetSuite."""
    hosts = ("api.binance.com", "1234567.suitetalk.api.netsuite.com")
    with upstreams(authority, monkeypatch, *hosts) as servers_by_host:
        yield Caller(client.get_default_client(), make_token(account)), *servers_by_host.values()


@each
def test_binance_key_is_rejected_and_secret_only_signs(signed, account, value):
    caller, binance, _ = signed
    for key, secret in ((value, "s" * 20), ("k" * 20, value)):
        properties = {"kind": "binance_key", "api_key": key, "api_secret": secret}
        row = make_credential(account, {"properties": properties})
        response = send(caller, row, "/api/v3/account")
        assert response.status == (409 if key == value else 200)
    (request,) = binance.requests
    assert request.headers["x-mbx-apikey"] == "k" * 20
    assert "x-evil" not in f"{request.target}{request.headers}".lower()


@each
def test_netsuite_secret_only_signs_and_id_is_quoted(signed, account, value):
    caller, _, netsuite = signed
    id = 'té", realm="x'
    app = make_app(account, "netsuite", client_id="ck", client_secret="cs")
    properties = {
        "kind": "netsuite_app",
        "account": "1234567",
        "token_id": id,
        "token_secret": value,
    }
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    assert send(caller, row).status == 200
    (request,) = netsuite.requests
    assert f'oauth_token="{quote(id, safe="~")}"' in request.headers["authorization"]
    assert "x-evil" not in str(request.headers).lower()
