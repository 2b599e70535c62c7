"""An authorization server on loopback, strict as the standards, that does wrong only when it is told to."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.fakes.documents import provider_document

Answer = tuple[int, dict[str, Any]]


class AuthorizationServer:
    """One issuer, with a user who is whoever `user` says. `refused` has codes that it never made."""

    def __init__(self) -> None:
        self.reset()
        self._numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.authority = self
        self.port: int = self._server.server_address[1]

    def reset(self) -> None:
        self.user = "ann"
        self.granted_scope: str | None = None
        self.without: set[str] = set()
        self.token_response: Answer | None = None
        self.checks_pkce = True
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.token_calls: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.whoami_calls = 0
        self.company_calls: list[str] = []
        self.company_status: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def approve(self, address: str, **more: str | None) -> str:
        """What a browser is sent back to, once its user agreed to what `address` asks for.

        `more` changes the response's parameters; None leaves one out.
        """
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.url}/authorize?"), address
        assert asked["response_type"] == "code"
        code = f"code-{self.port}-{next(self._numbers)}"
        self.codes[code] = {**asked, "user": self.user}
        response = {"code": code, "state": asked["state"], "iss": self.url, **more}
        sent = {name: value for name, value in response.items() if value is not None}
        return f"{asked['redirect_uri']}?{urlencode(sent)}"

    def exchange(self, sent: dict[str, str]) -> Answer:
        self.token_calls.append(sent)
        if self.token_response is not None:
            return self.token_response
        asked = self.codes.pop(sent.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != sent.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        if asked["client_id"] != sent.get("client_id") or sent.get("client_secret") != "app-secret":
            return 401, {"error": "invalid_client"}
        if self.checks_pkce and _s256(sent.get("code_verifier", "")) != asked.get("code_challenge"):
            return 400, {"error": "invalid_grant"}
        return 200, self._tokens(asked)

    def _tokens(self, asked: dict[str, str]) -> dict[str, Any]:
        number = next(self._numbers)
        access, refresh = f"access-{asked['user']}-{number}", f"refresh-{asked['user']}-{number}"
        self.tokens[access] = asked["user"]
        response = {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": 3600,
            "token_type": "Bearer",
            "workspace": {"id": f"ws-{asked['user']}", "name": asked["user"].title()},
        }
        if self.granted_scope is not None:
            response["scope"] = self.granted_scope
        return {name: value for name, value in response.items() if name not in self.without}

    def whoami(self, authorization: str) -> Answer:
        self.whoami_calls += 1
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        return (200, {"id": user, "mail": f"{user}@example.com"}) if user else (401, {})

    def company(self, name: str, authorization: str) -> Answer:
        """An account that its user's tokens alone open."""
        self.company_calls.append(name)
        if self.company_status is not None:
            return self.company_status, {}
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        return (200, {"name": user}) if user and name == f"co-{user}" else (403, {})


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    authority: AuthorizationServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *message: Any) -> None:
        pass

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/company/"):
            name = self.path.removeprefix("/company/")
            return self._say(*self.server.authority.company(name, authorization))
        return self._say(*self.server.authority.whoami(authorization))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(raw).items()}
        if self.path == "/revoke":
            self.server.authority.revoked.append(sent["token"])
            return self._say(200, {})
        return self._say(*self.server.authority.exchange(sent))

    def _say(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def build_provider_file(slug: str, url: str, **oauth: Any) -> dict[str, Any]:
    """A provider whose grants carry their workspace in the token response, and its file's way to say so."""
    said = {"issuer": url, "default_scopes": ["read", "write"], "iss": True, **oauth}
    return {
        **provider_document(slug, slug.title(), url, **said),
        "kinds": {
            f"{slug}_oauth2": _kind(
                "oauth2", ("workspace", "workspace_name", "scope"), "workspace", _TOKEN_CONNECT
            ),
            f"{slug}_called_oauth2": _kind("oauth2", ("user",), "user", _CALL_CONNECT),
            f"{slug}_silent_oauth2": _kind("oauth2", ("user",), "user", None),
            f"{slug}_named_oauth2": {
                **(named := _kind("oauth2", ("company",), "company", _CALLBACK_CONNECT)),
                "properties": {**named["properties"], "company": _SEGMENT},
            },
            f"{slug}_plain_oauth2": {**_kind("oauth2", (), "", None), **_PLAIN},
            f"{slug}_key": {**_kind("key", ("region",), "region", None), **_KEY},
        },
    }


def _kind(mechanism: str, fields: tuple[str, ...], identity: str, connect: Any) -> dict[str, Any]:
    text = {"type": "string", "description": "Text."}
    tokens = {"access_token": text, "refresh_token": text}
    ends = {"expires_at": {**text, "format": "date-time"}}
    return {
        "title": "An account",
        "mechanism": mechanism,
        "properties": {**dict.fromkeys(fields, text), **tokens, **ends},
        "required": ["refresh_token"],
        "secret": ["access_token", "refresh_token"],
        "identity": [{"field": identity}],
        "rotates": True,
        "grant": "refresh_token",
        "probe": None,
        "example": {},
        "connect": connect,
    }


_TOKEN_CONNECT = {
    "properties": {
        "workspace": {"in": "token", "at": "/workspace/id"},
        "workspace_name": {"in": "token", "at": "/workspace/name"},
    },
    "call": None,
}
_CALL_CONNECT = {
    "properties": {
        "user": {"in": "call", "at": "/id"},
        "owner_email": {"in": "call", "at": "/mail"},
    },
    "call": {"method": "GET", "path": "/whoami"},
}
_CALLBACK_CONNECT = {
    "properties": {"company": {"in": "callback", "at": "companyId"}},
    "call": {"method": "GET", "path": "/company/{company}"},
}
_SEGMENT = {
    "type": "string",
    "description": "An id.",
    "format": "segment",
    "pattern": "^[a-z-]{1,20}$",
}
_PLAIN: dict[str, Any] = {
    "properties": {"secret": {"type": "string", "description": "Never ends."}},
    "required": ["secret"],
    "secret": ["secret"],
    "identity": [],
    "rotates": False,
    "grant": None,
}
_KEY: dict[str, Any] = {
    "title": "API key",
    "properties": {
        "region": {"type": "string", "description": "Where it is.", "enum": ["eu", "us"]},
        "key": {"type": "string", "description": "The key."},
        "test": {"type": "boolean", "description": "Whether it is for tests."},
    },
    "required": ["key"],
    "secret": ["key"],
    "identity": [],
    "rotates": False,
    "grant": None,
}
