"""A client that reads the raw bytes of a response, and sees how the connection ended."""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple


class WireResponse(NamedTuple):
    """A response as it was received, chunks included. `end` is fin or reset."""

    head: bytes
    body: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def is_chunked(self) -> bool:
        return b"transfer-encoding: chunked" in self.head.lower()

    @property
    def looks_whole(self) -> bool:
        """True if a client that trusts the framing would take the response for complete."""
        if self.end == "reset":
            return False
        if self.is_chunked:
            return self.body.endswith(b"0\r\n\r\n")
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(self.body) >= int(line.partition(b":")[2])
        return True


def exchange(sock: socket.socket, *pieces: bytes, timeout: float = 30) -> WireResponse:
    """Send `pieces`, and read until the server ends the connection."""
    sock.settimeout(timeout)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            sock.sendall(piece)
    return read_to_end(sock)


def read_to_end(sock: socket.socket, received: bytes = b"") -> WireResponse:
    end = "fin"
    try:
        while data := sock.recv(65_536):
            received += data
    except ConnectionResetError:
        end = "reset"
    head, _, body = received.partition(b"\r\n\r\n")
    return WireResponse(head, body, end)


def build_request(
    method: str, target: str, token: str, *more: str, version: str = "1.1", close: bool = True
) -> bytes:
    lines = [
        f"{method} {target} HTTP/{version}",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        *(["Connection: close"] if close else []),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
