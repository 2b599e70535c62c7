"""On the shipped server: broken responses look broken, bodies stream, and slow ones delay no other."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from events.models import Event
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.wire import build_request, exchange, read_to_end
from tests.factories import make_account, make_credential, make_token
from tests.fakes.fixtures import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]
# Bytes between the caller, the server and the provider, in which the database has no part.
wire_only = pytest.mark.one_database

MIB = 1024 * 1024
BIG = int(os.environ.get("PROXY_BODY_MIB", "64")) * MIB


@pytest.fixture
def own_server(upstream: Any, settings: Any) -> Iterator[ServerProcess]:
    """A server for one test alone."""
    with ServerProcess(settings, str(connection.settings_dict["NAME"])) as serving:
        yield serving


@pytest.fixture
def token(upstream: Any, transactional_db: None) -> str:
    account = make_account()
    make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    return make_token(account)


@wire_only
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_broken_response_looks_broken(server, token, framing, how, version):
    target = f"/proxy/upstream/broken?framing={framing}&how={how}"
    with server.connect() as sock:
        response = exchange(sock, build_request("GET", target, token, version=version))
    assert response.status == 200
    assert not response.looks_whole, response


@wire_only
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_response_of_a_killed_server_looks_broken(own_server, token, framing):
    route = "download?size=1000000000" if framing == "length" else "dripping"
    with own_server.connect() as sock:
        sock.sendall(build_request("GET", f"/proxy/upstream/{route}", token))
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(1000)
        own_server.kill()
        response = read_to_end(sock, received)
    assert response.status == 200
    assert not response.looks_whole
    os.kill(own_server.process.pid, 18)  # SIGCONT


@wire_only
def test_disconnect_closes_the_providers_connection(server, token, upstream):
    for route, told in (("silent", upstream.request_received), ("dripping", None)):
        upstream.client_disconnected.clear()
        with server.connect() as sock:
            sock.sendall(build_request("GET", f"/proxy/upstream/{route}", token))
            if told:
                assert told.wait(60)
            else:
                sock.recv(1000)
        assert upstream.client_disconnected.wait(60), route


@wire_only
@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 200000"])
def test_broken_upload_does_not_look_complete(server, token, upstream, framing):
    chunk = b"186a0\r\n" + b"x" * 100_000
    with server.connect() as sock:
        sock.sendall(build_request("POST", "/proxy/upstream/upload", token, framing) + chunk)
        wait_until(lambda: upstream.requests)
        assert [request.target for request in upstream.requests] == ["/upload"]
    time.sleep(0.5)
    assert upstream.uploaded == []


def test_two_servers_share_one_limit(upstream, settings, transactional_db):
    account = make_account()
    make_credential(account, {"properties": {"kind": "upslow_key", "key": "k" * 20}})
    told = build_request("GET", "/proxy/upslow/status?code=200", make_token(account))
    name = str(connection.settings_dict["NAME"])

    def send(server: ServerProcess) -> int:
        with server.connect() as sock:
            return exchange(sock, told).status

    starting = ServerProcess(settings, name), ServerProcess(settings, name)
    with starting[0] as one, starting[1] as other, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, [one, other] * 8))
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == len(upstream.requests) == 3


@wire_only
def test_events_arrive_one_by_one(server, token, upstream):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"Bearer {token}"}
    client.request("GET", "/proxy/upstream/acknowledged?count=5", headers=headers)
    response = client.getresponse()
    received = []
    while line := response.readline():
        if line.startswith(b"data: "):
            received.append(int(line.split()[1]))
            # The upstream sends the next one after this, and none after 30 seconds without.
            upstream.event_received.set()
    assert received == list(range(5))
    client.close()


@wire_only
def test_download_is_streamed(own_server, token):
    before = own_server.memory()
    client = http.client.HTTPConnection("127.0.0.1", own_server.port, timeout=120)
    headers = {"Authorization": f"Bearer {token}"}
    client.request("GET", f"/proxy/upstream/download?size={BIG}", headers=headers)
    response = client.getresponse()
    size, most = 0, 0
    while piece := response.read(MIB):
        size += len(piece)
        most = max(most, own_server.memory())
    assert size == BIG
    assert most - before < 50 * MIB
    client.close()


@wire_only
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_upload_is_streamed(own_server, token, chunked):
    before = own_server.memory()
    piece, digest, most = os.urandom(MIB), hashlib.sha256(), [before]

    def pieces() -> Iterator[bytes]:
        for _ in range(BIG // MIB):
            digest.update(piece)
            most.append(own_server.memory())
            yield piece

    client = http.client.HTTPConnection("127.0.0.1", own_server.port, timeout=120)
    headers = {"Authorization": f"Bearer {token}"}
    if not chunked:
        headers["Content-Length"] = str(BIG)
    client.request(
        "POST", "/proxy/upstream/upload", pieces(), headers=headers, encode_chunked=chunked
    )
    received = json.loads(client.getresponse().read())
    assert received == {"size": BIG, "sha256": digest.hexdigest()}
    assert max(most) - before < 50 * MIB
    client.close()


@pytest.mark.parametrize("route", ["slow?seconds=60", "held"], ids=["waiting", "streaming"])
def test_slow_providers_delay_no_other_request(own_server, token, upstream, route):
    """200 concurrent requests, before or within their response; 8 database connections."""
    with ThreadPoolExecutor(200) as pool:
        slow = [
            pool.submit(get_status, own_server, token, f"/proxy/upstream/{route}")
            for _ in range(200)
        ]
        wait_until(lambda: len(upstream.requests) == 200)
        for _ in range(20):
            assert get_status(own_server, token, "/proxy/upstream/status?code=200") == 200
        assert not any(one.done() for one in slow)
        upstream.shutting_down.set()
        assert {one.result() for one in slow} == {200}
    assert Event.objects.filter(verb="credential.used").count() == 220


@wire_only
def test_malformed_request_is_rejected_in_json(server):
    for raw in (
        b"GET /proxy/x/y HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /proxy/x/y HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
        b"nonsense\r\n\r\n",
    ):
        with server.connect() as sock:
            response = exchange(sock, raw)
        assert response.status == 400, raw
        assert json.loads(response.body)["status"] == 400


@wire_only
@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "/proxy/upstream@evil.example/x",
        "/proxy//evil.example/x",
        "/proxy/upstream/..%2f..%2fx",
        "/proxy/upstream/%2e%2e/x",
        "/proxy/upstream/\\evil.example/",
        "*",
    ],
)
def test_no_target_leads_to_another_host(server, token, upstream, target):
    with server.connect() as sock:
        response = exchange(sock, build_request("GET", target, token))
    assert response.status in {400, 404}
    assert upstream.requests == []


@wire_only
def test_target_is_kept_byte_for_byte(server, token, upstream):
    target = "/a;b=1/%C3%A9/~x'(y)?q=%zz&&a+b=%2F..%2f&=#".rstrip("#")
    with server.connect() as sock:
        exchange(sock, build_request("GET", f"/proxy/upstream{target}", token))
    assert [request.target for request in upstream.requests] == [target]


def test_metrics_are_for_this_machine(own_server, token):
    get_status(own_server, token, "/proxy/upstream/status?code=200")
    with own_server.connect() as sock:
        text = exchange(sock, build_request("GET", "/metrics", token)).body.decode()
    assert (
        'latchkey_proxy_requests_total{method="GET",provider="upstream",status="200"} 1.0' in text
    )
    with own_server.connect() as sock:
        forwarded = build_request("GET", "/metrics", token, "X-Forwarded-For: 192.0.2.1")
        assert exchange(sock, forwarded).status == 404


def get_status(server: ServerProcess, token: str, target: str) -> int:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    client.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    response = client.getresponse()
    response.read()
    client.close()
    return response.status
