"""A check that this machine can listen on a port."""

from __future__ import annotations

import socket


def check_port_available(host: str, port: int) -> None:
    """Listen on the port for an instant. Raises OSError if that is not possible."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        # Otherwise the connections of a server that has just ended would block its port for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
