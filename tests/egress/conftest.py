from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from egress import Client, Timeouts
from tests.egress.certificates import Authority
from tests.egress.servers import Script, Server

Serve = Callable[..., Server]
MakeClient = Callable[..., Client]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def tls(authority: Authority) -> ssl.SSLContext:
    """A server's certificate for api.test."""
    return authority.server()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(script: Script, tls: ssl.SSLContext | None = None) -> Server:
            return stack.enter_context(Server(script, tls))

        yield start


@pytest.fixture
def make_client(authority: Authority) -> Iterator[MakeClient]:
    """A client that finds every name on loopback, and may go to the servers that are named."""
    with contextlib.ExitStack() as stack:

        def make(*servers: Server, host: str = "api.test", **more: Any) -> Client:
            given: dict[str, Any] = {
                "allow": frozenset((host, server.port) for server in servers),
                "lookup": lambda name: ["127.0.0.1"],
                "timeouts": Timeouts(connect=1, total=2),
                "tls": authority.trust,
            } | more
            client = Client(**given)
            stack.callback(client.close)
            return client

        yield make
