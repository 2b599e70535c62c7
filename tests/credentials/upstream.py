"""A provider on loopback: the host of its file answers, over real HTTP and TLS, what a test says."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from egress import Client, Timeouts, client
from egress.sockets import open_connection
from tests.egress.certificates import Authority
from tests.egress.servers import Connection, Server, build_response


class Request(NamedTuple):
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Upstream:
    """Answers each request to a path with the next of what was said for it, the last for ever."""

    def __init__(self, authority: Authority, host: str) -> None:
        self.replies: dict[str, list[bytes]] = {}
        self.server = Server(self._script, authority.server(host))
        self.say(200)

    def say(
        self, *statuses: int, path: str = "", headers: tuple[str, ...] = (), **document: Any
    ) -> None:
        """`path` "": all that nothing else was said for."""
        head = ("Content-Type: application/json", *headers)
        body = json.dumps(document).encode()
        self.replies[path] = [
            build_response(body, *head, status=f"{status} X") for status in statuses
        ]

    def hang_up(self) -> None:
        """From now on every connection ends without an answer."""
        self.replies = {"": [b""]}

    @property
    def requests(self) -> list[Request]:
        return [_read(raw) for raw in self.server.requests]

    def paths(self) -> list[str]:
        return [request.target.partition("?")[0] for request in self.requests]

    def _script(self, connection: Connection) -> None:
        while raw := connection.read_request():
            path = _read(raw).target.partition("?")[0]
            replies = self.replies.get(path) or self.replies[""]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            if not reply:
                return
            connection.send(reply)


def _read(raw: bytes) -> Request:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (re.split(r":\s*", line, maxsplit=1) for line in lines)
    return Request(method, target, {name.lower(): value for name, value in pairs}, body)


@contextmanager
def upstreams(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, *hosts: str
) -> Iterator[dict[str, Upstream]]:
    """Loopback servers for `hosts`; every other host cannot be reached."""
    with ExitStack() as stack:
        found = {host: Upstream(authority, host) for host in hosts}
        for upstream in found.values():
            stack.enter_context(upstream.server)
        addresses = {host: f"127.0.0.{number}" for number, host in enumerate(found, start=1)}
        ports = {addresses[host]: upstream.server.port for host, upstream in found.items()}
        process = Client(
            allow=frozenset((host, 443) for host in found),
            lookup=lambda name: [addresses[name]] if name in addresses else [],
            dial=lambda address, port, seconds: _dial(ports[address], address, seconds),
            timeouts=Timeouts(connect=1, total=2),
            tls=authority.trust,
        )
        stack.callback(process.close)
        monkeypatch.setattr(client, "get_default_client", lambda: process)
        yield found


def _dial(port: int, address: str, seconds: float) -> Any:
    return _Moved(open_connection("127.0.0.1", port, seconds), address)


class _Moved:
    """A socket that says that it leads to port 443 of `address`: the egress looks before TLS."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._sock = sock
        self._address = address

    def getpeername(self) -> tuple[str, int]:
        return self._address, 443

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
