"""A provider on loopback with the failures of real providers.

Within a process: `with FakeProvider() as provider`. As a process: `python -m tests.fakes.provider
--delay 0.3`, which prints its port. Other processes use it at `/_books` and `/_control`.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import datetime as dt
import gzip
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

from tests.fakes.grants import TokenStore

LIFETIME = 3600


class FakeProvider:
    """Each call uses the next of `modes`, then `mode`. `delay`: seconds before the response.

    `calls` has what every token request was: its grant type, refresh token, mode and outcome.
    """

    def __init__(self, *, delay: float = 0, lifetime: int = LIFETIME, **grants: Any) -> None:
        self.grants = TokenStore(**grants)
        self.delay = delay
        self.lifetime = lifetime
        self.mode = "ok"
        self.modes: collections.deque[str] = collections.deque()
        self.calls: list[dict[str, Any]] = []
        self.clients: dict[str, str] = {}
        """The secrets of the known clients; empty: all are let in."""
        self.rejected_users: dict[str, tuple[int, Any]] = {}
        self.unknown_token_response: tuple[int, Any] | None = None
        """The response to a refresh token that was never issued; None: as for a dead one."""
        self.on_call: Callable[[], None] | None = None
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def reject_user(self, user: str, status: int, document: Any) -> None:
        """Respond to each refresh of this user's grant with this status and JSON document."""
        self.rejected_users[user] = (status, document)

    def record_call(self, mode: str, fields: dict[str, str]) -> dict[str, Any]:
        call = {
            "grant_type": fields.get("grant_type", ""),
            "refresh_token": fields.get("refresh_token", ""),
            "mode": mode,
            "outcome": "",
        }
        with self.grants.lock:
            self.calls.append(call)
        return call

    def next_mode(self) -> str:
        with self.grants.lock:
            return self.modes.popleft() if self.modes else self.mode

    def books(self) -> dict[str, Any]:
        """For other processes."""
        with self.grants.lock:
            return {
                "calls": list(self.calls),
                "reuses": list(self.grants.reuses),
                "families": {
                    f.name: {"current": f.current, "revoked": f.revoked}
                    for f in self.grants.families.values()
                },
            }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    provider: FakeProvider

    def handle_error(self, *context: Any) -> None:
        """Callers that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *message: Any) -> None:
        pass

    @property
    def provider(self) -> FakeProvider:
        return self.server.provider

    def do_GET(self) -> None:
        if self.path == "/_books":
            return self._json(200, self.provider.books())
        if self.path == "/_count":
            return self._json(200, {"calls": len(self.provider.calls)})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self._json(200 if self.provider.grants.is_alive(token) else 401, {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_control":
            return self._control(json.loads(raw))
        fields = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
        if self.path == "/revoke":
            self.provider.grants.revoke(fields.get("token", ""))
            return self._json(200, {})
        mode = self.provider.next_mode()
        call = self.provider.record_call(mode, fields)
        if self.provider.on_call:
            self.provider.on_call()
        if not self._known_client(fields):
            mode = "invalid_client"
        refresh_token = fields.get("refresh_token", "")
        family = self.provider.grants.owners.get(refresh_token)
        rejection = self.provider.rejected_users.get(family.name) if family else None
        if family is None and refresh_token:
            rejection = self.provider.unknown_token_response
        if rejection:
            call["outcome"] = "refused"
            return self._json(*rejection)
        early, late = FAILURES_BEFORE_ISSUE.get(mode), FAILURES_AFTER_ISSUE.get(mode)
        if early:
            self._wait()
            call["outcome"] = "refused"
            return early(self)
        answer = self._answer(fields)
        call["outcome"] = "refused" if answer is None else "granted"
        self._wait()
        if answer is None:
            return self._json(400, {"error": "invalid_grant"})
        return late(self, answer) if late else self._json(200, answer)

    def _answer(self, fields: dict[str, str]) -> dict[str, Any] | None:
        provider = self.provider
        extra = {"token_type": "Bearer", "expires_in": provider.lifetime, "scope": "read write"}
        if self.path.startswith("/app/installations/"):
            ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=provider.lifetime)
            return {"token": provider.grants.issue_app_token(), "expires_at": ends.isoformat()}
        if fields.get("grant_type") == "client_credentials":
            return {"access_token": provider.grants.issue_app_token(), **extra}
        tokens = provider.grants.refresh(fields.get("refresh_token", ""))
        return {**tokens, **extra} if tokens else None

    def _known_client(self, fields: dict[str, str]) -> bool:
        if not self.provider.clients:
            return True
        id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        if (given := self.headers.get("Authorization", "")).startswith("Basic "):
            id, _, secret = base64.b64decode(given[6:]).decode().partition(":")
        return self.provider.clients.get(id) == secret

    def _control(self, wanted: dict[str, Any]) -> None:
        for name in ("mode", "delay", "lifetime"):
            if name in wanted:
                setattr(self.provider, name, wanted[name])
        self.provider.modes.extend(wanted.get("modes", ()))
        made = [self.provider.grants.authorize(name) for name in wanted.get("authorize", ())]
        self._json(200, made)

    def _wait(self) -> None:
        self.provider.stopping.wait(self.provider.delay)

    def _json(self, status: int, document: Any) -> None:
        self.raw(status, json.dumps(document).encode())

    def raw(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        sent = {"Content_Type": "application/json", **headers}
        for name, value in sent.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """RST instead of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def hang(self) -> None:
        self.provider.stopping.wait(60)
        self.close_connection = True

    def drip(self, body: bytes) -> None:
        """A byte a second."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.provider.stopping.wait(1):
                    return

    def truncate(self, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.raw(200, body[: len(body) // 2], length=len(body))
        self.close_connection = True

    def error(self, status: int, code: str) -> None:
        self._json(status, {"error": code})

    def changed(self, answer: dict[str, Any], **news: Any) -> None:
        """Send `answer` with members replaced; DROP removes one."""
        document = {name: value for name, value in {**answer, **news}.items() if value is not DROP}
        self._json(200, document)


DROP = object()


def _http_date(seconds: float) -> str:
    moment = dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC)
    return format_datetime(moment, usegmt=True)


FAILURES_BEFORE_ISSUE: dict[str, Callable[[_Handler], None]] = {
    "500_before": lambda h: h.raw(500, b"{}"),
    "503_before": lambda h: h.raw(503, b"{}", Retry_After="7"),
    "hang": lambda h: h.hang(),
    "429_seconds": lambda h: h.raw(429, b"{}", Retry_After="30"),
    "429_date": lambda h: h.raw(429, b"{}", Retry_After=_http_date(30)),
    "429_forever": lambda h: h.raw(429, b"{}", Retry_After="999999"),
    "reset_before": lambda h: h.reset(),
    "redirect": lambda h: h.raw(307, b"", Location="/elsewhere"),
    "invalid_grant": lambda h: h.error(400, "invalid_grant"),
    "invalid_client": lambda h: h.error(401, "invalid_client"),
    "unauthorized_client": lambda h: h.error(400, "unauthorized_client"),
    "error_200": lambda h: h.error(200, "invalid_grant"),
    "unknown_error": lambda h: h.error(400, "tea_time"),
}
"""Modes in which nothing is issued."""

FAILURES_AFTER_ISSUE: dict[str, Callable[[_Handler, dict[str, Any]], None]] = {
    "500_after": lambda h, a: h.raw(500, b"{}"),
    "hang_after": lambda h, a: h.hang(),
    "drip": lambda h, a: h.drip(json.dumps(a).encode()),
    "truncated": lambda h, a: h.truncate(a),
    "html": lambda h, a: h.raw(200, b"<html>Maintenance</html>", Content_Type="text/html"),
    "gzip_bomb": lambda h, a: h.raw(
        200, gzip.compress(b" " * 50_000_000, 9), Content_Encoding="gzip"
    ),
    "reset_after": lambda h, a: h.reset(),
    "no_refresh_token": lambda h, a: h.changed(a, refresh_token=DROP),
    "empty_refresh_token": lambda h, a: h.changed(a, refresh_token=""),
    "narrower_scope": lambda h, a: h.changed(a, scope="read"),
    "wider_scope": lambda h, a: h.changed(a, scope="read write admin"),
    "token_type_mac": lambda h, a: h.changed(a, token_type="mac"),
    "expires_missing": lambda h, a: h.changed(a, expires_in=DROP),
    "expires_zero": lambda h, a: h.changed(a, expires_in=0),
    "expires_negative": lambda h, a: h.changed(a, expires_in=-5),
    "expires_string": lambda h, a: h.changed(a, expires_in="3600"),
    "expires_huge": lambda h, a: h.changed(a, expires_in=1e30),
    "expires_null": lambda h, a: h.changed(a, expires_in=None),
    "duplicate_keys": lambda h, a: h.raw(
        200, b'{"access_token": "stale", ' + json.dumps(a).encode().removeprefix(b"{")
    ),
    "byte_order_mark": lambda h, a: h.raw(200, b"\xef\xbb\xbf" + json.dumps(a).encode()),
    "body_2mb": lambda h, a: h.changed(a, padding="x" * 2_000_000),
    "no_access_token": lambda h, a: h.changed(a, access_token=DROP),
}
"""Modes in which tokens are issued, and the answer does not say so as it should."""

TOKEN_LOSING_MODES = frozenset(
    {"500_after", "hang_after", "drip", "truncated", "html", "gzip_bomb", "reset_after"}
    | {"body_2mb", "no_access_token"}
)
"""Those of AFTER from which nobody can read the tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--rotation", default="strict", choices=["none", "strict"])
    parser.add_argument("--grace", type=float, default=0)
    given = parser.parse_args()
    with FakeProvider(delay=given.delay, rotation=given.rotation, grace=given.grace) as provider:
        print(provider.port, flush=True)  # noqa: T201 - its caller reads it
        sys.stdin.read()


if __name__ == "__main__":
    main()
