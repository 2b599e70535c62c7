"""A server on loopback that sends exact bytes, and stores the requests that it received."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

Script = Callable[["Connection"], object]


class Connection:
    """One connection of a script."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self._buffer = b""

    def read_request(self) -> bytes:
        """The next request, head and body; b"" when the client has gone."""
        head = self._until(b"\r\n\r\n")
        body = b""
        if found := re.search(rb"(?i)\r\ncontent-length: (\d+)", head):
            body = self._exactly(int(found[1]))
        elif b"transfer-encoding: chunked" in head.lower():
            body = self._until(b"0\r\n\r\n")
        if head:
            self.server.requests.append(head + body)
        return head + body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait, or go on at once when the test is over."""
        self.server.over.wait(seconds)

    def reset(self) -> None:
        """End the connection with RST, not with FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if not self._more():
                return b""
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _more(self) -> bool:
        data = self.sock.recv(65_536)
        self._buffer += data
        return bool(data)


class Server:
    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.connections = 0
        self.closed = 0
        """Connections that this server has closed."""
        self.requests: list[bytes] = []
        self.names: list[str | None] = []
        self.over = threading.Event()
        if tls:
            tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "api.test") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.over.is_set():
            return
        self.over.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass  # Wakes `accept`.
        for thread in self._threads:
            thread.join(1)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.over.is_set():
                sock.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _close(self, sock: socket.socket) -> None:
        sock.close()
        self.closed += 1

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.callback(lambda: self._close(sock))
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.script(Connection(self, sock))


def build_response(body: bytes = b"hello", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def reply_always(*replies: bytes) -> Script:
    """Each request on a connection has the next of `replies`, the last one for ever."""

    def script(connection: Connection) -> None:
        count = 0
        while connection.read_request():
            connection.send(replies[min(count, len(replies) - 1)])
            count += 1

    return script


def reply_once(reply: bytes) -> Script:
    """One request, one reply, and the connection's end."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(reply)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock = connection.sock.unwrap()

    return script
