"""Whether this machine lets us listen somewhere."""

from __future__ import annotations

import socket


def check_port_available(host: str, port: int) -> None:
    """Listen there for a moment, sharing with nobody. Raises OSError where that cannot be."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as tried:
        # Else the connections of a server that ended a moment ago would hold its port for a minute.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(address)
        tried.listen()
