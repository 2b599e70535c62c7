"""Requests as they are sent, and responses as they are returned."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from django.db import transaction

from egress import BlockedByPolicyError, Request, Response, Timeouts
from egress import client as egress
from tests.egress.servers import build_response, reply_always, reply_once


def get(url: str, *headers: tuple[str, str]) -> Request:
    return Request(method="GET", url=url, headers=headers)


@pytest.fixture
def exchange(serve, make_client):
    """Send a request to a server that sends `reply`. Return the response, and the bytes received."""

    def send(reply: bytes = build_response(), **request) -> tuple[Response, str]:
        server = serve(reply_always(reply))
        request = {"method": "GET", "url": server.url("/a?b=c")} | request
        found = make_client(server).send(Request(**request))
        return found, server.requests[0].decode("latin-1").replace(f":{server.port}", ":PORT")

    return send


def test_simple_get(exchange):
    found, seen = exchange(build_response(b"hello", "X-One: 1", "x-one: 2", "Set-Cookie: a=b"))
    assert (found.status, found.body) == (200, b"hello")
    assert found.get_header("X-One") == "1, 2"
    assert found.get_header("absent") is None
    assert seen == (
        "GET /a?b=c HTTP/1.1\r\nHost: api.test:PORT\r\nAccept-Encoding: gzip, deflate\r\n"
        "User-Agent: Latchkey\r\n\r\n"
    )


def test_over_tls_with_the_name_in_host_and_sni(serve, make_client, tls):
    server = serve(reply_always(build_response()), tls)
    assert make_client(server).send(get(server.url())).body == b"hello"
    assert server.names == ["api.test"]
    assert f"Host: api.test:{server.port}\r\n".encode() in server.requests[0]


def test_headers_and_body_are_the_callers(exchange):
    _, seen = exchange(
        method="POST",
        headers=[("Authorization", "Bearer é"), ("user-agent", "Mine"), ("X-A", ""), ("X-A", "2")],
        body=b"a=b",
    )
    head, _, body = seen.partition("\r\n\r\n")
    assert body == "a=b"
    assert head.split("\r\n")[3:] == [
        "Content-Length: 3",
        "Authorization: Bearer é",
        "user-agent: Mine",
        "X-A: ",
        "X-A: 2",
    ]


@pytest.mark.parametrize(
    ("method", "body", "length", "framing"),
    [
        ("GET", None, None, []),
        ("DELETE", None, None, []),
        ("DELETE", b"x", None, ["Content-Length: 1"]),
        ("POST", None, None, ["Content-Length: 0"]),
        ("POST", b"", None, ["Content-Length: 0"]),
        ("PUT", iter([b"ab", b"", b"c"]), 3, ["Content-Length: 3"]),
        ("PUT", iter([]), 0, ["Content-Length: 0"]),
        ("PUT", iter([b"ab", b"c"]), None, ["Transfer-Encoding: chunked"]),
    ],
)
def test_framing(exchange, method, body, length, framing):
    _, seen = exchange(method=method, body=body, length=length)
    lines = seen.partition("\r\n\r\n")[0].split("\r\n")
    assert [line for line in lines if line.startswith(("Content-Len", "Transfer"))] == framing


@pytest.mark.parametrize("chunks", [[b"ab"], [b"abcd"], [b"abc", b"d"], []])
def test_body_with_another_length_than_announced_is_not_completed(serve, make_client, chunks):
    server = serve(reply_always(build_response()))
    request = Request(method="PUT", url=server.url(), body=iter(chunks), length=3)
    with pytest.raises(BlockedByPolicyError, match="does not have the announced length") as refused:
        make_client(server).send(request)
    assert refused.value.sent
    server.__exit__()
    assert all(len(seen.partition(b"\r\n\r\n")[2]) < 3 for seen in server.requests)


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "evil.test")],
        [("content-length", "0")],
        [("Transfer-Encoding", "chunked")],
        [("Connection", "close")],
        [("Upgrade", "h2c")],
        [("Accept-Encoding", "br")],
        [("Expect", "100-continue")],
        [("Proxy-Authorization", "hunter2")],
        [("X-A\r\nX-B", "hunter2")],
        [("X A", "hunter2")],
        [("", "hunter2")],
        [("X-Ä", "hunter2")],
        [("X-A", "hunter2\r\nX-B: 1")],
        [("X-A", "hunter2\n")],
        [("X-A", "hunter2\x00")],
        [("X-A", " hunter2")],
        [("X-A", "hunter2€")],
    ],
)
def test_headers_that_are_not_sent(exchange, headers):
    with pytest.raises(BlockedByPolicyError) as refused:
        exchange(headers=headers)
    assert "hunter2" not in str(refused.value)
    assert not refused.value.sent


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "trace", "GET ", "G\r\nET", "", "GÉT"])
def test_methods_that_are_not_sent(exchange, method):
    with pytest.raises(BlockedByPolicyError, match="method"):
        exchange(method=method)


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 404, 418, 429, 500, 503])
def test_every_status_is_a_response(exchange, status):
    body = b"" if status in {204, 304} else b"why"
    found, _ = exchange(build_response(body, "Retry-After: 7", status=f"{status} X"))
    assert (found.status, found.body, found.get_header("retry-after")) == (status, body, "7")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["http://169.254.169.254/latest/meta-data/", "/again", "OTHER"])
def test_no_redirect_is_followed(serve, make_client, status, to):
    other = serve(reply_always(build_response()))
    location = other.url("/") if to == "OTHER" else to
    server = serve(
        reply_always(build_response(b"", f"Location: {location}", status=f"{status} Moved"))
    )
    client = make_client(server, other)
    found = client.send(
        Request(method="POST", url=server.url(), headers=[("X-Api-Key", "k")], body=b"secret")
    )
    assert (found.status, found.get_header("location")) == (status, location)
    assert (len(server.requests), len(other.requests)) == (1, 0)


def test_no_cookie_is_kept(serve, make_client):
    server = serve(reply_always(build_response(b"", "Set-Cookie: session=1")))
    client = make_client(server)
    for _ in range(2):
        client.send(get(server.url()))
    assert b"session" not in b"".join(server.requests)


def test_environment_is_not_read(serve, make_client, monkeypatch, tmp_path):
    proxy = serve(reply_always(build_response(b"from the proxy")))
    server = serve(reply_always(build_response()))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    (tmp_path / ".netrc").write_text("default login me password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    request = get(server.url(), ("Authorization", "Bearer ours"))
    assert make_client(server).send(request).body == b"hello"
    assert proxy.connections == 0
    assert server.requests[0].lower().count(b"authorization") == 1
    assert b"Bearer ours" in server.requests[0]


def test_the_target_is_sent_as_it_was_written(exchange, serve, make_client):
    server = serve(reply_always(build_response()))
    target = "/a/../b//%2e%2E/%2f;x?q=%zz+{a|b}&u=https://x@y/:1"
    make_client(server).send(get(server.url(target)))
    assert server.requests[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


GZIP = gzip.compress(b"hello" * 100, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("GZip", GZIP),
        ("gzip", gzip.compress(b"hello" * 60, mtime=0) + gzip.compress(b"hello" * 40, mtime=0)),
        ("deflate", zlib.compress(b"hello" * 100)),
        ("deflate", zlib.compress(b"hello" * 100)[2:-4]),
        ("identity", b"hello" * 100),
    ],
)
def test_the_body_is_decompressed(exchange, encoding, body):
    found, _ = exchange(build_response(body, f"Content-Encoding: {encoding}"))
    assert found.body == b"hello" * 100
    assert (found.get_header("content-encoding") is None) == (encoding != "identity")


def test_data_kept_by_the_decompressor_belongs_to_the_body(exchange):
    """It has read all input, and keeps some output, if the end does not fit into the piece."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeeze.compress(bytes(65_573)) + squeeze.flush()
    assert exchange(build_response(body, "Content-Encoding: deflate"))[0].body == bytes(65_573)


def test_a_compressed_body_that_comes_byte_by_byte(serve, make_client):
    def script(connection):
        connection.read_request()
        connection.send(
            build_response(b"", "Content-Encoding: gzip").replace(b"h: 0", b"h: %d" % len(GZIP))
        )
        for byte in GZIP:
            connection.send(bytes([byte]))

    server = serve(script)
    assert make_client(server).send(get(server.url())).body == b"hello" * 100


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
def test_no_body_needs_no_decompression(exchange, status):
    assert exchange(build_response(b"", "Content-Encoding: gzip", status=status))[0].body == b""


def test_head_response_keeps_its_content_length(serve, make_client):
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nContent-Encoding: identity\r\n\r\n"
    server = serve(reply_once(reply))
    found = make_client(server).send(Request(method="HEAD", url=server.url()))
    assert (found.body, found.get_header("content-length")) == (b"", "99999999")


@pytest.mark.parametrize("end", ["chunked", "close"])
def test_bodies_without_a_length(serve, make_client, tls, end):
    head = b"HTTP/1.1 200 OK\r\n" + (
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        if end == "chunked"
        else b"\r\nhello"
    )
    for server in (serve(reply_once(head)), serve(reply_once(head), tls)):
        assert make_client(server).send(get(server.url())).body == b"hello"


def test_interim_responses_are_skipped(exchange):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert exchange(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + build_response())[0].body == b"hello"


def test_a_stream_comes_in_pieces_and_uncompressed(serve, make_client):
    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        connection.read_request()  # Waits until the client has gone, or the test is over.
        connection.pause(1)

    server = serve(script)
    with make_client(server).stream(get(server.url())) as found:
        assert found.status == 200
        assert next(iter(found)) == b"a"
        server.over.set()
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


def test_stream_may_exceed_the_default_body_limit(serve, make_client):
    server = serve(reply_always(build_response(b"x" * 3_000_000)))
    request = get(server.url())
    with make_client(server).stream(request, timeouts=Timeouts(max_body_bytes=None)) as found:
        assert sum(map(len, found)) == 3_000_000


def test_the_body_is_sent_while_it_is_made(serve, make_client):
    seen = []

    def script(connection):
        connection.read_request()
        connection.send(build_response())

    def body() -> Iterator[bytes]:
        for chunk in (b"a", b"b"):
            seen.append(chunk)
            yield chunk

    server = serve(script)
    make_client(server).send(Request(method="POST", url=server.url(), body=body()))
    assert seen == [b"a", b"b"]
    assert server.requests[0].endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def test_error_of_the_body_iterable_is_raised(serve, make_client):
    def body() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("the caller's client has gone")

    server = serve(reply_always(build_response()))
    with pytest.raises(LookupError):
        make_client(server).send(Request(method="POST", url=server.url(), body=body()))


def test_the_processs_own_client(serve, settings):
    server = serve(reply_always(build_response()))
    settings.EGRESS_ALLOW = f"127.0.0.1:{server.port}"
    request = get(server.url(host="127.0.0.1"))
    assert egress.send(request).body == b"hello"
    with egress.stream(request) as found:
        assert b"".join(found) == b"hello"
    egress.check_url(request.url)
    assert egress.get_default_client() is egress.get_default_client()
    egress.get_default_client().close()
    settings.EGRESS_ALLOW = ""
    with pytest.raises(BlockedByPolicyError):
        egress.send(request)


@pytest.mark.django_db(transaction=True)
def test_request_in_a_transaction_raises(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server)
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        client.send(get(server.url()))
    assert server.connections == 0
    assert client.send(get(server.url())).status == 200


@pytest.mark.django_db
def test_transaction_of_a_test_case_is_allowed(serve, make_client):
    server = serve(reply_always(build_response()))
    assert make_client(server).send(get(server.url())).status == 200
