"""A provider on loopback, in plain HTTP/1.1. The path of a request says what it responds.

`python -m tests.credentials.proxy.upstream` runs one in a process of its own and prints its port.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

CHUNK = b"0123456789abcdef" * 4096


class RecordedRequest(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class UpstreamHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: UpstreamServer

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        route = parts.path.strip("/").split("/")[0]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        response = getattr(self, f"do_{route}", None) or self.do_echo
        body = b"" if route == "upload" else b"".join(self._pieces())
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(RecordedRequest(self.command, self.path, headers, body))
        with contextlib.suppress(OSError):
            response(query)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def do_echo(self, query: dict[str, str]) -> None:
        """Send the request back, in JSON."""
        seen = self.server.requests[-1]
        document = {**seen._asdict(), "body": seen.body.decode("latin-1")}
        self._whole(json.dumps(document).encode(), "Content-Type: application/json")

    def do_status(self, query: dict[str, str]) -> None:
        code = int(query["code"])
        more = [f"{name}: {value}" for name, value in query.items() if name[0].isupper()]
        self._whole(b"" if code in {204, 304} else b"a body", *more, status=code)

    def do_secret(self, query: dict[str, str]) -> None:
        """Send the value of the Authorization header back, in the body or a header, in some form."""
        held = self.headers.get("Authorization", "").removeprefix("Bearer ")
        form = query.get("form", "plain")
        text = {
            "plain": held,
            "base64": base64.b64encode(f"user:{held}".encode()).decode(),
            "percent": held.replace("_", "%5F"),
        }.get(form, held)
        body = f'{{"you sent": "{text}", "and": 1}}'.encode()
        if form == "header":
            self._whole(b"{}", f"X-Debug: {held}")
        elif form == "gzip":
            self._whole(gzip.compress(body * 100), "Content-Encoding: gzip")
        elif form == "chunks":
            self._chunked(body[at : at + 1] for at in range(len(body)))
        else:
            self._whole(body)

    def do_gzip(self, query: dict[str, str]) -> None:
        self._whole(gzip.compress(b"squeezed " * 100), "Content-Encoding: gzip")

    def do_links(self, query: dict[str, str]) -> None:
        here = f"http://{self.headers['Host']}"
        self._whole(
            b"[]",
            f'Link: <{here}/links?page=2>; rel="next", <https://elsewhere.example/x>; rel="help"',
            "Set-Cookie: a=b",
            "WWW-Authenticate: Bearer",
            "Connection: X-Private",
            "X-Private: 1",
        )

    def do_redirect(self, query: dict[str, str]) -> None:
        here = f"http://{self.headers['Host']}"
        self._whole(b"", f"Location: {query.get('to') or here + '/echo?moved=1'}", status=302)

    def do_events(self, query: dict[str, str]) -> None:
        """Send `count` server-sent events, one `every` seconds."""

        def events() -> Iterator[bytes]:
            for number in range(int(query.get("count", "5"))):
                yield f"data: {number} {time.monotonic()}\n\n".encode()
                time.sleep(float(query.get("every", "0.1")))

        self._chunked(events(), "Content-Type: text/event-stream")

    def do_acknowledged(self, query: dict[str, str]) -> None:
        """Send `count` events, each after the test has received the one before."""

        def events() -> Iterator[bytes]:
            for number in range(int(query["count"])):
                self.server.event_received.clear()
                yield f"data: {number}\n\n".encode()
                if not self.server.event_received.wait(30):
                    return

        self._chunked(events(), "Content-Type: text/event-stream")

    def do_slow(self, query: dict[str, str]) -> None:
        self.server.shutting_down.wait(float(query.get("seconds", "1")))
        self._whole(b"at last")

    def do_held(self, query: dict[str, str]) -> None:
        """Send the first event, and the last one when the test releases it."""

        def events() -> Iterator[bytes]:
            yield b"data: first\n\n"
            self.server.shutting_down.wait(60)
            yield b"data: last\n\n"

        self._chunked(events(), "Content-Type: text/event-stream")

    def do_download(self, query: dict[str, str]) -> None:
        size = int(query["size"])
        self._head(f"Content-Length: {size}")
        while size > 0:
            self.wfile.write(CHUNK[:size])
            size -= len(CHUNK)

    def do_upload(self, query: dict[str, str]) -> None:
        digest, size = hashlib.sha256(), 0
        for piece in self._pieces():
            digest.update(piece)
            size += len(piece)
        self.server.uploaded.append(size)
        self._whole(json.dumps({"size": size, "sha256": digest.hexdigest()}).encode())

    def do_broken(self, query: dict[str, str]) -> None:
        """Send a body that ends early: `framing` length, chunked or close; by `how` fin or reset."""
        if query["framing"] == "length":
            self._head("Content-Length: 100000")
            self.wfile.write(b"x" * 1000)
        else:
            self._head("Transfer-Encoding: chunked")
            self.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.wfile.flush()
        time.sleep(0.2)
        if query["how"] == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def do_dripping(self, query: dict[str, str]) -> None:
        """Send bytes until the client disconnects, then set `client_disconnected`."""
        self._head("Transfer-Encoding: chunked")
        try:
            while not self.server.shutting_down.wait(0.05):
                self.wfile.write(b"1\r\nx\r\n")
        finally:
            self.server.client_disconnected.set()

    def do_silent(self, query: dict[str, str]) -> None:
        """Send nothing until the client disconnects, then set `client_disconnected`."""
        self.server.request_received.set()
        self.connection.settimeout(30)
        if not self.connection.recv(1):
            self.server.client_disconnected.set()
        self.close_connection = True

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, 65_536))
            if not piece:
                raise ConnectionResetError
            left -= len(piece)
            yield piece

    def _head(self, *headers: str, status: int = 200) -> None:
        self.send_response_only(status)
        for line in headers:
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, body: bytes, *headers: str, status: int = 200) -> None:
        length = () if status in {204, 304} else (f"Content-Length: {len(body)}",)
        self._head(*headers, *length, status=status)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _chunked(self, pieces: Iterator[bytes], *headers: str) -> None:
        self._head("Transfer-Encoding: chunked", *headers)
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        pass


class UpstreamServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler: type[UpstreamHandler] = UpstreamHandler) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.requests: list[RecordedRequest] = []
        self.uploaded: list[int] = []
        self.connections = 0
        self.shutting_down, self.client_disconnected = threading.Event(), threading.Event()
        self.request_received, self.event_received = threading.Event(), threading.Event()

    def clear(self) -> None:
        """Forget the requests and the connections."""
        self.requests.clear()
        self.uploaded.clear()
        self.connections = 0
        self.shutting_down.clear()
        self.client_disconnected.clear()
        self.request_received.clear()
        self.event_received.clear()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutting_down.set()
        self.shutdown()
        self.server_close()


def main() -> None:
    with UpstreamServer() as server:
        print(server.port, flush=True)  # noqa: T201 - its caller reads it
        sys.stdin.read()


if __name__ == "__main__":
    main()
