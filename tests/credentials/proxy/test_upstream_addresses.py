"""The credential is sent only to addresses that were validated."""

from __future__ import annotations

import json
import socket

import pytest

from common.errors import InvalidInputError
from credentials.services.custom_providers import custom_provider_create
from egress import Client
from providers.registry import get_registry
from tests.credentials.proxy.conftest import KEY, Caller
from tests.credentials.proxy.provider_files import provider_file
from tests.factories import TESTER, make_credential, make_token

INSIDE = {
    "decimal": "https://2130706433/",
    "octal": "https://0177.0.0.1/",
    "hexadecimal": "https://0x7f.1/",
    "circled digits": "https://①②⑦.⓪.⓪.①/",
    "nat64": "https://[64:ff9b::a9fe:a9fe]/",
    "compatible": "https://[::127.0.0.1]/",
    "mapped": "https://[::ffff:127.0.0.1]/",
    "multicast": "https://239.255.255.250/",
    "metadata": "https://100.100.100.200/",
    "backslash": "https://example.com\\@127.0.0.1/",
    "user": "https://example.com@127.0.0.1/",
    "tab": "https://exa\tmple.com/",
    "plain": "http://api.example.com/",
    "port": "https://api.example.com:8443/",
    "trailing dot": "https://localhost./",
}


@pytest.mark.parametrize("name", INSIDE)
def test_custom_service_rejects_a_bad_url(account, name):
    with pytest.raises(InvalidInputError):
        custom_provider_create(
            account_id=account.id, actor=TESTER, name="inside", base_url=INSIDE[name]
        )


@pytest.fixture
def public_provider(account, upstream, settings, tmp_path):
    """A provider with a public name, which each test resolves to other addresses."""
    bearer = {"in": "header", "values": {"Authorization": "Bearer {key}"}}
    document = provider_file("far", "https://api.far.example", bearer)
    (tmp_path / "upstream" / "far.json").write_text(json.dumps(document))
    get_registry.cache_clear()
    make_credential(account, {"properties": {"kind": "far_key", "key": KEY}})
    return make_token(account)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["93.184.216.34", "::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["100.100.100.200"],
        [],
    ],
    ids=["loopback", "mixed", "mixed families", "mapped", "nat64", "metadata", "cgnat", "none"],
)
def test_name_of_an_internal_address_gets_no_request(public_provider, upstream, addresses):
    dialled: list[str] = []

    def dial(address: str, port: int, seconds: float) -> socket.socket:
        dialled.append(address)
        raise OSError

    client = Client(lookup=lambda name: addresses, dial=dial)
    assert Caller(client, public_provider).get("/proxy/far/x").status == 502
    assert dialled == []


def test_name_is_resolved_once(public_provider):
    responses = [["93.184.216.34"], ["127.0.0.1"]]
    dialled = []

    def dial(address, port, seconds):
        dialled.append(address)
        raise OSError

    client = Client(lookup=lambda name: responses.pop(0), dial=dial)
    assert Caller(client, public_provider).get("/proxy/far/x").status == 502
    assert dialled == ["93.184.216.34"]


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Host", "X-Original-Host"])
def test_header_does_not_choose_the_host(caller, path, upstream, header):
    caller.get(f"{path}/x", headers={header: "localhost"})
    assert {request.headers["host"] for request in upstream.requests} == {
        f"127.0.0.1:{upstream.port}"
    }
