"""Clients of the proxy that stop within a request: no thread waits for them without end."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

import pytest

from config import proxy_server
from config.proxy_server import is_no_slow_client
from egress.receive_timeout import limit_receive_time
from tests.credentials.proxy.wire import build_request, exchange
from tests.factories import make_account, make_credential, make_token


def test_receiving_ends_although_the_socket_is_set_to_block() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        limit_receive_time(ours, 0.05)
        ours.setblocking(True)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_a_slow_client_is_not_logged_with_a_traceback() -> None:
    def build_record(error: Exception) -> logging.LogRecord:
        try:
            raise error
        except Exception:
            return logging.LogRecord("gunicorn.error", 40, "", 0, "", (), sys.exc_info())

    assert not is_no_slow_client(build_record(BlockingIOError()))
    assert is_no_slow_client(build_record(ValueError()))


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.one_database
@pytest.mark.django_db(transaction=True)
def test_half_a_head_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, upstream: Any, server: Any
) -> None:
    # A whole request on the same server still works, so the limit is not that of all requests.
    account = make_account()
    make_credential(account, {"properties": {"kind": "upstream_key", "key": "k" * 20}})
    token = make_token(account)
    with server.connect() as sock:
        assert exchange(sock, build_request("GET", "/proxy/upstream/echo", token)).status == 200
    with server.connect() as sock:
        sock.settimeout(proxy_server.HEAD_SECONDS * 6)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert sock.recv(100) == b""
