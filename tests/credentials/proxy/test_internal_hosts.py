"""On the shipped server: no request of a caller reaches an internal host with the credential."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.upstream import UpstreamServer
from tests.credentials.proxy.wire import build_request, exchange
from tests.factories import make_account, make_credential, make_token

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "up_secret_0123456789abcdef"


@pytest.fixture(scope="module")
def internal_server() -> Iterator[UpstreamServer]:
    """A server of this network that EGRESS_ALLOW does not allow."""
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def token(upstream: Any, internal_server: UpstreamServer, transactional_db: None) -> str:
    internal_server.clear()
    account = make_account()
    make_credential(account, {"properties": {"kind": "upstream_key", "key": KEY}})
    return make_token(account)


def send(server: ServerProcess, raw: bytes) -> Any:
    with server.connect() as sock:
        return exchange(sock, raw)


@pytest.mark.parametrize(
    "target",
    [
        "http://{inside}/",
        "http://{inside}/proxy/upstream/x",
        "//{inside}/",
        "//{inside}/proxy/upstream/x",
        "/proxy/upstream//{inside}/",
        "/proxy/upstream@{inside}",
        "/proxy/upstream@{inside}/x",
        "/proxy/@{inside}/x",
        "/proxy/{inside}/x",
        "/proxy/http://{inside}/x",
        "/proxy/upstream:x@{inside}/x",
        "/proxy/upstream/%2f%2f{inside}/x",
        "/proxy/upstream/..%2f..%2f{inside}/x",
        "/proxy/upstream/%2e%2e/%2e%2e/{inside}/x",
        "/proxy/upstream/%252e%252e%252f{inside}/x",
        "/proxy/upstream/..;/{inside}/x",
        "/proxy/upstream/\\\\{inside}\\x",
        "/proxy/upstream/x%0d%0aHost:%20{inside}",
    ],
)
def test_target_with_another_host_is_rejected(server, token, upstream, internal_server, target):
    written = target.format(inside=f"127.0.0.1:{internal_server.port}")
    assert send(server, build_request("GET", written, token)).status in {400, 404}
    assert (internal_server.connections, upstream.requests) == (0, [])


@pytest.mark.parametrize(
    "target",
    [
        "/proxy/upstream/@{inside}/x",
        "/proxy/upstream/http:{inside}/x",
        "/proxy/upstream/x?url=http://{inside}/",
        "/proxy/upstream/x?@{inside}/",
    ],
)
def test_host_within_the_path_is_part_of_the_path(server, token, upstream, internal_server, target):
    written = target.format(inside=f"127.0.0.1:{internal_server.port}")
    assert send(server, build_request("GET", written, token)).status == 200
    (request,) = upstream.requests
    assert request.target == written.removeprefix("/proxy/upstream")
    assert request.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "X-Host", "X-Original-Host", "Forwarded", "X-Rewrite-URL", "Via"]
)
def test_no_header_chooses_the_host(server, token, upstream, internal_server, name):
    named = f"{name}: 127.0.0.1:{internal_server.port}"
    assert send(server, build_request("GET", "/proxy/upstream/x", token, named)).status == 200
    assert [request.headers["host"] for request in upstream.requests] == [
        f"127.0.0.1:{upstream.port}"
    ]
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{inside}", 200),
        ("169.254.169.254", 400),
        ("metadata.google.internal", 400),
        ("127.0.0.1@{inside}", 400),
    ],
    ids=["ours", "address", "name", "user"],
)
def test_host_header_does_not_choose_the_upstream(
    server, token, upstream, internal_server, host, status
):
    """It is one of ours or rejected. Only rewritten URLs in a response are made of it."""
    line = f"Host: {host.format(inside=internal_server.port)}".encode()
    sent = build_request("GET", "/proxy/upstream/x", token).replace(b"Host: 127.0.0.1", line)
    assert send(server, sent).status == status
    hosts = [request.headers["host"] for request in upstream.requests]
    assert hosts == ([f"127.0.0.1:{upstream.port}"] if status == 200 else [])
    assert internal_server.connections == 0


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 4\r\nContent-Length: 40",
        "Content-Length: 4\r\nContent-Length: 4",
        "Content-Length: 4, 40",
        "Content-Length: +4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "X-A: b\r\n Host: 127.0.0.1",
        "X-A: b\rHost: 127.0.0.1",
        "X-A: b\x00c",
        "X A: b",
        "Host: 127.0.0.1",
    ],
)
def test_ambiguous_headers_are_rejected(server, token, upstream, lines):
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    response = send(
        server, build_request("POST", "/proxy/upstream/upload", token, lines) + smuggled
    )
    assert response.status == 400
    assert json.loads(response.body)["status"] == 400
    assert (upstream.requests, upstream.uploaded) == ([], [])


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{inside}/",
        "//127.0.0.1:{inside}/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_redirect_to_an_internal_host_is_not_followed(server, token, upstream, internal_server, to):
    where = to.format(inside=internal_server.port)
    response = send(server, build_request("GET", f"/proxy/upstream/redirect?to={where}", token))
    assert response.status == 302
    assert KEY.encode() not in response.head + response.body
    assert (len(upstream.requests), internal_server.connections) == (1, 0)
