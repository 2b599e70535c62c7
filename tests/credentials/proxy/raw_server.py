"""A provider on loopback that answers with whatever bytes a test wrote, however wrong they are."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

RespondFunction = Callable[[socket.socket, bytes], None]


class RawServer:
    """`answers`: for each first segment of a path, the bytes to answer or a function that says them.

    `heads` are the requests' heads as they came, and `bodies` what came after them.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.responses: dict[str, bytes | RespondFunction] = {}
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            found = b""
            while True:
                while b"\r\n\r\n" not in found:
                    found += _more(sock)
                head, _, found = found.partition(b"\r\n\r\n")
                body = self._body(sock, head, found)
                self.heads.append(head)
                self.bodies.append(body)
                found = b""
                name = head.split()[1].decode().strip("/").split("/")[0].partition("?")[0]
                response = self.responses.get(
                    name, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                )
                if callable(response):
                    response(sock, head)
                    return
                sock.sendall(response)
                if b"content-length" not in response.lower() and b"chunked" not in response.lower():
                    return  # The end of the connection is the end of the body.

    @staticmethod
    def _body(sock: socket.socket, head: bytes, found: bytes) -> bytes:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
                while len(found) < length:
                    found += _more(sock)
            if line == b"transfer-encoding: chunked":
                while not found.endswith(b"0\r\n\r\n"):
                    found += _more(sock)
        return found


def _more(sock: socket.socket) -> bytes:
    piece = sock.recv(65_536)
    if not piece:
        raise ConnectionResetError
    return piece
