"""Free ports of loopback, for servers that tests, tools and benchmarks start."""

from __future__ import annotations

import socket


def find_free_port() -> int:
    """Return a port of loopback that no process uses now."""
    return find_free_ports(1)[0]


def find_free_ports(count: int) -> list[int]:
    """Return as many different ports of loopback that no process uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
