"""Connections: reused, bounded, shared by threads, never shared with a fork."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore2
import pytest

from egress import EgressTimeoutError, ProtocolError, Request, Timeouts, client
from egress.pools import ConnectionPools
from tests.egress.servers import build_response, reply_always, reply_once
from tests.fakes.fixtures import wait_until


def get(server, host: str = "api.test") -> Request:
    return Request(method="GET", url=server.url(host=host))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_connection_is_reused(serve, make_client, tls, secure):
    server = serve(reply_always(build_response()), tls if secure else None)
    client = make_client(server)
    for _ in range(5):
        client.send(get(server))
    assert (server.connections, len(server.requests)) == (1, 5)


def test_each_request_has_its_own_time(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server, timeouts=Timeouts(total=1))
    for _ in range(6):
        client.send(get(server))
        threading.Event().wait(0.22)
    assert server.connections == 1


def test_connection_that_has_ended_is_not_reused(serve, make_client):
    server = serve(reply_once(build_response()))
    client = make_client(server)
    for _ in range(3):
        assert client.send(get(server)).body == b"hello"
        wait_until(lambda: server.closed == server.connections)
    assert server.connections == 3


def test_nothing_is_retried(serve, make_client):
    def script(connection):
        connection.read_request()
        connection.send(build_response())
        connection.read_request()  # And hangs up on the second.

    server = serve(script)
    client = make_client(server)
    client.send(get(server))
    with pytest.raises(ProtocolError):
        client.send(get(server))
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("how", ["left early", "too slow"])
def test_connection_with_an_unread_response_is_not_reused(serve, make_client, how):
    def script(connection):
        while connection.read_request():
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel")

    server = serve(script)
    client = make_client(server)
    for _ in range(2):
        if how == "left early":
            with client.stream(get(server)) as found:
                next(iter(found))
        else:
            with pytest.raises(EgressTimeoutError):
                client.send(get(server), timeouts=Timeouts(total=0.2))
    wait_until(lambda: server.connections == 2)


@pytest.mark.parametrize(
    "reply",
    [
        build_response(b"first"),
        build_response(b""),
        build_response(b"", status="204 X").replace(b"Content-Length: 0\r\n", b""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_surplus_bytes_are_not_the_response_to_the_next_request(serve, make_client, reply):
    server = serve(reply_always(reply + build_response(b"poison")))
    client = make_client(server)
    for _ in range(3):
        assert client.send(get(server)).body != b"poison"
    assert server.connections == 3


def test_threads_share_a_client(serve, make_client):
    def script(connection):
        while seen := connection.read_request():
            connection.send(build_response(seen.split()[1]))

    server = serve(script)
    client = make_client(server, per_host=4)

    def call(number):
        url = server.url(f"/{number}")
        return client.send(Request(method="GET", url=url)).body == f"/{number}".encode()

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(call, range(200)))
    assert server.connections <= 4


def test_host_that_hangs_does_not_delay_another(serve, make_client):
    slow, quick = (
        serve(lambda connection: connection.pause(5)),
        serve(reply_always(build_response())),
    )
    client = make_client(slow, quick, per_host=1)
    with ThreadPoolExecutor(2) as threads:
        hanging = threads.submit(client.send, get(slow), timeouts=Timeouts(total=1.5))
        while not slow.connections:
            threading.Event().wait(0.001)
        with pytest.raises(EgressTimeoutError, match="stayed busy") as busy:
            client.send(get(slow), timeouts=Timeouts(total=0.03))
        assert client.send(get(quick)).body == b"hello"
    slow_one = hanging.exception()
    assert isinstance(slow_one, EgressTimeoutError)
    assert (busy.value.sent, slow_one.sent) == (False, True)


def test_fork_opens_its_own_connections(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server)
    client.send(get(server))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # The server has threads.
        child = os.fork()
    if not child:
        try:
            os._exit(client.send(get(server)).body != b"hello")
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert server.connections == 2
    assert client.send(get(server)).body == b"hello"
    assert server.connections == 2


def test_fork_does_not_wait_for_locks_of_its_parent(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server)
    with client._pools._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if not child:
            try:
                os._exit(client.send(get(server)).status != 200)
            finally:
                os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_closing_ends_the_connections(serve, make_client):
    server = serve(reply_always(build_response()))
    client = make_client(server)
    client.send(get(server))
    client.close()
    client.send(get(server))  # It may be used again; there is just nothing kept.
    assert server.connections == 2


class FakePool(httpcore2.ConnectionPool):
    closed = False

    def close(self):
        self.closed = True


def use(pools: ConnectionPools, *origins: str) -> list[Any]:
    found: list[Any] = []
    for origin in origins:
        with pools.acquire(origin) as pool:
            found.append(pool)
    return found


def test_the_pools_used_last_are_kept():
    pools = ConnectionPools(FakePool, keep=2)
    a, b, again, c = use(pools, "a", "b", "a", "c")
    assert again is a
    assert [pool.closed for pool in (a, b, c)] == [False, True, False]


def test_a_pool_in_use_is_not_closed():
    pools = ConnectionPools(FakePool, keep=1)
    with pools.acquire("a") as busy:
        assert isinstance(busy, FakePool)
        use(pools, "b", "c", "d")
        assert not busy.closed
        with pools.acquire("a") as same:
            assert same is busy
    [after] = use(pools, "a")
    assert after is busy


def test_pool_unused_for_long_is_closed():
    pools = ConnectionPools(FakePool, seconds=0.01)
    [old] = use(pools, "a")
    threading.Event().wait(0.02)
    [new] = use(pools, "b")
    assert (old.closed, new.closed) == (True, False)


def test_threads_that_start_together_share_one_client(monkeypatch, settings):
    settings.EGRESS_ALLOW = "together.test:8025"
    made, start = [], threading.Barrier(8)

    def slow(**given: Any) -> object:
        made.append(given)
        threading.Event().wait(0.02)
        return object()

    monkeypatch.setattr(client, "Client", slow)
    client._get_client.cache_clear()
    try:
        with ThreadPoolExecutor(8) as pool:
            found = {id(one) for one in pool.map(lambda _: _after(start), range(8))}
    finally:
        client._get_client.cache_clear()
    assert (len(made), len(found)) == (1, 1)


def _after(start: threading.Barrier) -> Any:
    start.wait(5)
    return client.get_default_client()
