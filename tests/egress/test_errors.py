"""Slow, large and malformed responses: each has its own error, in time, without secrets in it."""

from __future__ import annotations

import gzip
import logging
import time
import traceback
import tracemalloc
import zlib

import pytest

from egress import (
    BlockedByPolicyError,
    ConnectError,
    EgressError,
    EgressTimeoutError,
    ProtocolError,
    Request,
    Response,
    ResponseTooLargeError,
    Timeouts,
)
from tests.egress.certificates import DAY, NOW, Authority
from tests.egress.servers import build_response, reply_always, reply_once

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
QUICK = Timeouts(connect=5, total=1)
SMALL = Timeouts(max_body_bytes=1000)


def get(server) -> Request:
    return Request(method="GET", url=server.url())


# --- Too slow -----------------------------------------------------------------------------------


def silent(connection):
    connection.read_request()
    connection.pause(2)


def dripping(first: bytes, then: bytes):
    """`first`, and `then` again and again, faster than any single wait would notice."""

    def script(connection):
        connection.read_request()
        connection.send(first)
        while not connection.server.over.is_set():
            connection.send(then)
            connection.pause(0.01)

    return script


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(HEAD, b"x"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ],
    ids=["silent", "body", "headers", "interim", "chunks", "no end"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_slow_responses_time_out(serve, make_client, tls, script, secure):
    server = serve(script, tls if secure else None)
    limits = Timeouts(total=1.5) if secure else QUICK  # A handshake takes its time, too.
    started = time.monotonic()
    with pytest.raises(
        EgressTimeoutError, match=r"api\.test: the response was not complete in time"
    ) as slow:
        make_client(server).send(get(server), timeouts=limits)
    assert time.monotonic() - started < limits.total + 4
    assert slow.value.sent


def test_slow_handshake_times_out(serve, make_client):
    def script(connection):  # Speaks no TLS, and takes its time.
        connection.pause(2)

    server = serve(script)
    url = server.url().replace("http:", "https:")
    with pytest.raises(EgressTimeoutError, match="no connection could be made") as slow:
        make_client(server, timeouts=Timeouts(connect=0.3)).send(Request(method="GET", url=url))
    assert not slow.value.sent


def test_peer_that_does_not_read_times_out(serve, make_client):
    server = serve(lambda connection: connection.pause(2))
    request = Request(method="POST", url=server.url(), body=b"x" * 30_000_000)
    with pytest.raises(EgressTimeoutError) as slow:
        make_client(server, timeouts=QUICK).send(request)
    assert slow.value.sent


def test_wait_may_be_limited_separately(serve, make_client):
    server = serve(silent)
    with pytest.raises(EgressTimeoutError):
        make_client(server, timeouts=Timeouts(total=60, read=0.3)).send(get(server))


def test_a_stream_has_a_deadline_too(serve, make_client):
    server = serve(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"))
    with (
        pytest.raises(EgressTimeoutError),
        make_client(server).stream(get(server), timeouts=QUICK) as found,
    ):
        list(found)


# --- Too large ----------------------------------------------------------------------------------


def bomb(size: int, wbits: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return squeeze.compress(bytes(size)) + squeeze.flush()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n",
        build_response(bomb(1001, 31), "Content-Encoding: gzip"),
        build_response(bomb(50_000, 31), "Content-Encoding: gzip"),
        build_response(bomb(50_000, 15), "Content-Encoding: deflate"),
        build_response(bomb(50_000, -15), "Content-Encoding: deflate"),
        build_response(gzip.compress(b"x" * 600, mtime=0) * 2, "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0) * 60,
    ],
)
def test_large_bodies_are_rejected(serve, make_client, reply):
    server = serve(reply_once(reply))
    with pytest.raises(ResponseTooLargeError, match="over 1000 bytes") as large:
        make_client(server).send(get(server), timeouts=SMALL)
    assert large.value.sent


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_of_just_the_limit_is_not(serve, make_client, encoding):
    body = b"x" * 1000
    body = gzip.compress(body, mtime=0) if encoding == "gzip" else body
    server = serve(reply_once(build_response(body, f"Content-Encoding: {encoding}")))
    found = make_client(server).send(get(server), timeouts=SMALL)
    assert found.body == b"x" * 1000


def test_the_limit_is_a_mebibyte(serve, make_client):
    mebibyte = 1024 * 1024
    server = serve(
        reply_always(build_response(bytes(mebibyte)), build_response(bytes(mebibyte + 1)))
    )
    client = make_client(server)
    assert len(client.send(get(server)).body) == mebibyte
    with pytest.raises(ResponseTooLargeError):
        client.send(get(server))


def test_decompression_bomb_is_not_decompressed(serve, make_client):
    """20 MB in 20 kB: no more of it than the limit is ever in memory."""
    server = serve(reply_once(build_response(bomb(20_000_000, 31), "Content-Encoding: gzip")))
    client = make_client(server)
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLargeError):
            client.send(get(server))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


# --- Broken -------------------------------------------------------------------------------------


def then_reset(data: bytes):
    def script(connection):
        connection.read_request()
        connection.send(data)
        connection.reset()

    return script


GZIP = gzip.compress(b"hello" * 100, mtime=0)


@pytest.mark.parametrize(
    "script",
    [
        then_reset(b""),
        then_reset(HEAD + b"x"),
        reply_once(b""),
        reply_once(HEAD + b"x"),
        reply_once(b"HTTP/1.1 200 OK\r\nContent-"),
        reply_once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
        reply_once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        reply_once(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
        reply_once(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"),
        reply_once(b"HTTP/1.1 200 OK\r\nX-A\x00: b\r\n\r\nx"),
        reply_once(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 200_000 + b"\r\n\r\n"),
        reply_once(b"SSH-2.0-OpenSSH_9.2\r\n"),
        reply_once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        reply_once(build_response(b"hello", "Content-Encoding: br")),
        reply_once(build_response(b"hello", "Content-Encoding: zstd")),
        reply_once(build_response(b"hello", "Content-Encoding: gzip, gzip")),
        reply_once(build_response(b"hello", "Content-Encoding: gzip")),
        reply_once(build_response(b"hello", "Content-Encoding: deflate")),
        reply_once(build_response(GZIP[:-1], "Content-Encoding: gzip")),
        reply_once(build_response(GZIP[:20], "Content-Encoding: gzip")),
        reply_once(build_response(GZIP + b"junk", "Content-Encoding: gzip")),
        reply_once(build_response(GZIP[:-8] + bytes(8), "Content-Encoding: gzip")),
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_broken_responses(serve, make_client, tls, script, secure):
    server = serve(script, tls if secure else None)
    with pytest.raises(ProtocolError) as broken:
        make_client(server).send(get(server))
    assert broken.value.sent
    assert isinstance(broken.value, ConnectError)


def test_a_body_without_a_length_may_not_be_cut_short_under_tls(serve, make_client, tls):
    """The end of the connection is the body's end only where TLS says that it is the end."""

    def script(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhel")  # And closes without close_notify.

    server = serve(script, tls)
    with pytest.raises(ProtocolError):
        make_client(server).send(get(server))


def test_broken_stream_raises_instead_of_ending(serve, make_client):
    server = serve(reply_once(HEAD + b"x"))
    with make_client(server).stream(get(server)) as found:
        chunks = iter(found)
        assert next(chunks) == b"x"
        with pytest.raises(ProtocolError):
            next(chunks)


def test_response_before_the_body_was_read_counts(serve, make_client):
    def script(connection):
        connection.sock.recv(100)
        connection.send(build_response(b"too much", "Connection: close", status="413 X"))
        while connection.sock.recv(65_536):
            pass

    server = serve(script)
    request = Request(method="POST", url=server.url(), body=b"x" * 500_000)
    assert make_client(server).send(request).status == 413


# --- TLS ----------------------------------------------------------------------------------------


def refusal(client, server) -> str:
    """Why the handshake failed, before anything was sent."""
    with pytest.raises(ConnectError, match=r"api\.test: TLS: ") as unreachable:
        client.send(get(server))
    assert not unreachable.value.sent
    assert server.requests == []
    return str(unreachable.value)


def test_certificate_for_another_name_is_rejected(serve, make_client, authority):
    server = serve(reply_always(build_response()), authority.server("other.test"))
    assert "mismatch" in refusal(make_client(server), server)


def test_an_expired_certificate(serve, make_client, authority):
    server = serve(reply_always(build_response()), authority.server(until=NOW - DAY / 2))
    assert "expired" in refusal(make_client(server), server)


def test_certificate_of_an_untrusted_authority_is_rejected(serve, make_client):
    server = serve(reply_always(build_response()), Authority("Stranger").server())
    assert "unable to get local issuer" in refusal(make_client(server), server)


def test_the_tests_authority_is_not_trusted_by_itself(serve, make_client, tls):
    server = serve(reply_always(build_response()), tls)
    assert "unable to get local issuer" in refusal(make_client(server, tls=None), server)


def test_a_server_without_tls(serve, make_client):
    server = serve(lambda connection: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    request = Request(method="GET", url=server.url().replace("http:", "https:"))
    with pytest.raises(ConnectError, match="the handshake failed"):
        make_client(server).send(request)


def test_closed_port_is_a_connect_error(serve, make_client):
    server = serve(reply_always(build_response()))
    server.__exit__()
    with pytest.raises(ConnectError, match="no connection could be made"):
        make_client(server).send(get(server))


# --- Messages of errors --------------------------------------------------------------------------

CANARY = "hunter2"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (silent, EgressTimeoutError),
        (reply_once(build_response(b"x" * 2000 + CANARY.encode())), ResponseTooLargeError),
        (reply_once(HEAD + CANARY.encode()), ProtocolError),
        (reply_once(f"{CANARY} what\r\n\r\n".encode()), ProtocolError),
        (reply_once(f"HTTP/1.1 200 OK\r\nX {CANARY}\r\n\r\n".encode()), ProtocolError),
        (reply_once(build_response(CANARY.encode(), f"Content-Encoding: {CANARY}")), ProtocolError),
        (reply_once(build_response(CANARY.encode(), "Content-Encoding: gzip")), ProtocolError),
        (then_reset(HEAD + CANARY.encode()), ProtocolError),
    ],
)
def test_no_error_repeats_what_was_sent_or_said(serve, make_client, caplog, script, kind):
    server = serve(script)
    request = Request(
        method="POST",
        url=server.url(f"/{CANARY}?key={CANARY}"),
        headers=[("Authorization", f"Bearer {CANARY}")],
        body=CANARY.encode(),
    )
    limits = Timeouts(total=0.4, max_body_bytes=1500)
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as error:
        make_client(server).send(request, timeouts=limits)
    printed = "".join(traceback.format_exception(error.value, chain=True))
    assert CANARY not in f"{error.value} {error.value!r} {error.value.__context__} {caplog.text}"
    assert "".join(line for line in printed.splitlines() if CANARY in line) == ""
    assert str(error.value).startswith("api.test: ")


def test_responses_are_not_logged(serve, make_client, caplog):
    server = serve(reply_always(build_response(CANARY.encode(), f"Set-Cookie: {CANARY}")))
    with caplog.at_level(logging.DEBUG):
        make_client(server).send(Request(method="GET", url=server.url(f"/?key={CANARY}")))
    assert CANARY not in caplog.text


def test_repr_of_requests_and_responses_shows_no_value(serve, make_client):
    url = f"https://api.test/?key={CANARY}"
    request = Request(method="POST", url=url, headers=[("X", CANARY)], body=CANARY.encode())
    response = Response(200, (("x", CANARY),), CANARY.encode())
    assert f"{request!r} {response!r}" == "<Request POST> <Response 200>"


def test_errors_have_distinct_codes():
    kinds = {BlockedByPolicyError, ConnectError, EgressTimeoutError, ResponseTooLargeError}
    for kind in kinds:
        assert issubclass(kind, EgressError)
        assert not any(issubclass(kind, other) for other in kinds - {kind})
