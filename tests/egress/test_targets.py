"""Targets of connections: an address that was validated, whatever the name resolves to later."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

import pytest

from egress import BlockedByPolicyError, Client, ConnectError, EgressTimeoutError, Request, Timeouts
from tests.egress.servers import build_response, reply_always

PUBLIC = "93.184.216.34"
REQUEST = Request(
    method="POST", url="https://api.test/v1?key=hunter2", headers=[("X-Key", "hunter2")], body=b"x"
)


def client(**given: Any) -> Client:
    """Create a client without trusted authorities, because reading the system's is slow."""
    return Client(**({"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} | given))


class Network:
    """Stands for the network: notes where connections go, and lets none be made."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.dialled: list[str] = []

    def lookup(self, name: str) -> list[str]:
        self.asked.append(name)
        return self.answers.pop(0)

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        self.dialled.append(f"{address} {port}")
        raise ConnectionRefusedError

    def client(self) -> Client:
        return client(lookup=self.lookup, dial=self.dial)


class Pretender(socket.socket):
    """A connection to loopback that says it is one to `PUBLIC`, port 443."""

    def getpeername(self):
        return (PUBLIC, 443)


def test_name_is_resolved_once_for_check_and_connection(make_client):
    network = Network([PUBLIC], ["127.0.0.1"])
    with pytest.raises(ConnectError):
        network.client().send(REQUEST)
    assert network.asked == ["api.test."]
    assert network.dialled == [f"{PUBLIC} 443"]


def test_url_is_checked_at_each_attempt():
    network = Network([PUBLIC], ["127.0.0.1"])
    checker = network.client()
    checker.check_url(REQUEST.url)
    with pytest.raises(BlockedByPolicyError) as refused:
        checker.send(REQUEST)
    assert not refused.value.sent
    assert network.dialled == []


@pytest.mark.parametrize(
    "answers",
    [[PUBLIC, "127.0.0.1"], [PUBLIC, "::1"], ["2606:4700::1", "10.0.0.1"], ["169.254.169.254"]],
)
def test_mixed_addresses_make_no_connection(answers):
    network = Network(answers)
    with pytest.raises(BlockedByPolicyError):
        network.client().send(REQUEST)
    assert network.dialled == []


def test_the_addresses_are_tried_in_turn_and_not_all():
    network = Network(["2606:4700::1", PUBLIC, "1.1.1.1", "1.0.0.1", "8.8.8.8"])
    with pytest.raises(ConnectError, match="no connection could be made") as unreachable:
        network.client().send(REQUEST)
    assert network.dialled == ["2606:4700::1 443", f"{PUBLIC} 443", "1.1.1.1 443", "1.0.0.1 443"]
    assert not unreachable.value.sent


def test_address_that_drops_packets_leaves_time_for_the_next(serve, make_client):
    server = serve(reply_always(build_response()))

    def dial(address: str, port: int, seconds: float) -> socket.socket:
        if address == "10.0.0.1":
            threading.Event().wait(seconds)
            raise TimeoutError
        return socket.create_connection((address, port), seconds)

    client = make_client(
        server,
        dial=dial,
        lookup=lambda name: ["10.0.0.1", "127.0.0.1"],
        timeouts=Timeouts(connect=1),
    )
    assert client.send(Request(method="GET", url=server.url())).body == b"hello"


def test_connection_that_drops_packets_times_out():
    def dial(address: str, port: int, seconds: float) -> socket.socket:
        threading.Event().wait(seconds)
        raise TimeoutError

    swallowed = client(lookup=lambda name: [PUBLIC], dial=dial, timeouts=Timeouts(connect=0.3))
    with pytest.raises(EgressTimeoutError, match="no connection") as slow:
        swallowed.send(REQUEST)
    assert not slow.value.sent


def test_peer_with_another_address_than_validated_gets_nothing(serve):
    server = serve(reply_always(build_response()))
    misled = client(
        lookup=lambda name: [PUBLIC],
        dial=lambda *_: socket.create_connection(("127.0.0.1", server.port)),
    )
    with pytest.raises(BlockedByPolicyError, match="did not lead to the validated") as refused:
        misled.send(REQUEST)
    assert not refused.value.sent
    assert server.requests == []


def test_peer_that_has_closed_is_a_connect_error():
    def dial(*_):
        return socket.socket()  # Not connected: it has no peer.

    with pytest.raises(ConnectError):
        client(lookup=lambda name: [PUBLIC], dial=dial).send(REQUEST)


def test_the_public_way_whole(serve, authority, tls):
    """On port 443, the name in SNI and Host, without a port, and the certificate's."""
    server = serve(reply_always(build_response()), tls)
    dialled = []

    def dial(address: str, port: int, seconds: float) -> socket.socket:
        dialled.append((address, port))
        sock = Pretender(socket.AF_INET, socket.SOCK_STREAM)
        sock.connect(("127.0.0.1", server.port))
        return sock

    whole = client(lookup=lambda name: [PUBLIC], dial=dial, tls=authority.trust)
    assert whole.send(REQUEST).body == b"hello"
    whole.close()
    assert dialled == [(PUBLIC, 443)]
    assert server.names == ["api.test"]
    assert b"\r\nHost: api.test\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://api.test/",
        "https://api.test:8443/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://user@api.test/",
        "https://api.test/#a",
        "https://localhost/",
        "https://metadata.google.internal/",
        "nonsense",
    ],
)
def test_rejected_url_is_not_resolved(url):
    network = Network()
    for call in (network.client().check_url, lambda url: network.client().send(get(url))):
        with pytest.raises(BlockedByPolicyError, match=r"^The URL: "):
            call(url)
    assert network.asked == network.dialled == []


def get(url: str) -> Request:
    return Request(method="GET", url=url)


def test_allowlist_entry_is_one_host_on_one_port(serve, make_client):
    server, neighbour = serve(reply_always(build_response())), serve(reply_always(build_response()))
    opener = make_client(server)
    assert opener.send(get(server.url())).status == 200
    for url in (neighbour.url(), server.url(host="other.test"), server.url(host="127.0.0.1")):
        with pytest.raises(BlockedByPolicyError):
            opener.send(get(url))
    assert neighbour.connections == 0


def test_allowed_name_does_not_allow_metadata(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server, lookup=lambda name: ["169.254.169.254"])
    with pytest.raises(BlockedByPolicyError):
        client.send(get(server.url()))


def test_check_connects_to_nothing(serve, make_client):
    server = serve(reply_always(build_response()))
    make_client(server).check_url(server.url())
    assert server.connections == 0


def test_check_rejects_a_name_that_does_not_resolve():
    def lookup(name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(ConnectError, match=r"nxdomain\.test: its name does not resolve"):
        client(lookup=lookup).check_url("https://nxdomain.test/")
