"""How a credential is put on a request."""

from __future__ import annotations

import base64

import pytest

from common.errors import ConflictError
from credentials.core.request_auth import (
    build_custom_request_auth,
    build_request_auth,
    sign_binance,
)
from providers.kinds import Kind
from providers.registry import get_registry


def of(name: str) -> Kind:
    return get_registry().kinds[name]


def test_credential_in_a_header():
    found = build_request_auth(of("stripe_key"), {}, {"secret": "sk_1"})
    assert (found.headers, found.query) == ((("Authorization", "Bearer sk_1"),), ())


def test_credential_in_two_headers():
    found = build_request_auth(
        of("datadog_key"), {"site": "datadoghq.com"}, {"api_key": "a", "app_key": "b"}
    )
    assert dict(found.headers) == {"DD-API-KEY": "a", "DD-APPLICATION-KEY": "b"}


def test_credential_in_the_query():
    found = build_request_auth(of("trello_key"), {"api_key": "a"}, {"token": "t&=%"})
    assert (found.headers, found.query) == ((), (("key", "a"), ("token", "t&=%")))


def test_credential_by_basic_authentication():
    found = build_request_auth(of("twilio_password"), {"account_sid": "AC1"}, {"auth_token": "tö"})
    scheme, _, token = dict(found.headers)["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(token).decode()) == ("Basic", "AC1:tö")


def test_properties_are_filled_in():
    found = build_request_auth(of("xero_oauth2"), {"tenant_id": "T"}, {"access_token": "a"})
    assert dict(found.headers) == {"Authorization": "Bearer a", "Xero-Tenant-Id": "T"}


def test_custom_provider_has_its_own_header():
    found = build_custom_request_auth(auth_header="X-Key", prefix="Key ", key="k")
    assert found.headers == (("X-Key", "Key k"),)


def test_binance_signature():
    """The example of Binance's own documentation."""
    secrets = {
        "api_key": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "api_secret": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    }
    query = (
        ("symbol", "LTCBTC"), ("side", "BUY"), ("type", "LIMIT"), ("timeInForce", "GTC"),
        ("quantity", "1"), ("price", "0.1"), ("recvWindow", "5000"),
    )  # fmt: skip
    found = sign_binance(secrets, query, timestamp_ms=1499827319559)
    signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert found.query[-1] == ("signature", signature)
    assert found.headers == (("X-MBX-APIKEY", secrets["api_key"]),)


@pytest.mark.parametrize("secrets", [{}, {"secret": ""}], ids=["absent", "empty"])
def test_missing_value_is_named(secrets):
    with pytest.raises(ConflictError, match="no secret"):
        build_request_auth(of("stripe_key"), {}, secrets)


@pytest.mark.parametrize(
    "value", ["sk\r\nX: 1", "sk\x00", "sk ", "sk€"], ids=["crlf", "nul", "end", "wide"]
)
def test_value_that_no_header_can_carry_is_rejected_without_it(value):
    with pytest.raises(ConflictError) as caught:
        build_request_auth(of("stripe_key"), {}, {"secret": value})
    assert value not in caught.value.detail


@pytest.mark.parametrize("name", ["binance_key", "netsuite_app"])
def test_kind_that_signs_requests_is_rejected(name):
    with pytest.raises(ConflictError):
        build_request_auth(of(name), {}, {"api_key": "a", "api_secret": "b"})


def test_repr_has_no_secret():
    assert "sk_1" not in repr(build_request_auth(of("stripe_key"), {}, {"secret": "sk_1"}))
