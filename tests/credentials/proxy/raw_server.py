"""A provider on loopback that responds with the bytes of a test, valid or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

RespondFunction = Callable[[socket.socket, bytes], None]


class RawServer:
    """`responses` are, by the first segment of a path, bytes or a function that sends them.

    `heads` and `bodies` are those of the requests, as they were received.
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
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    received += _more(sock)
                head, _, received = received.partition(b"\r\n\r\n")
                body = self._body(sock, head, received)
                self.heads.append(head)
                self.bodies.append(body)
                received = b""
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
    def _body(sock: socket.socket, head: bytes, received: bytes) -> bytes:
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
                while len(received) < length:
                    received += _more(sock)
            if line == b"transfer-encoding: chunked":
                while not received.endswith(b"0\r\n\r\n"):
                    received += _more(sock)
        return received


def _more(sock: socket.socket) -> bytes:
    piece = sock.recv(65_536)
    if not piece:
        raise ConnectionResetError
    return piece
