"""An authorization server on loopback, which follows the standards unless a test changes it."""

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

Response = tuple[int, dict[str, Any]]


class AuthorizationServer:
    """One issuer, whose only user is `user`."""

    def __init__(self) -> None:
        self.reset()
        self._numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.authorization_server = self
        self.port: int = self._server.server_address[1]

    def reset(self) -> None:
        self.user = "ann"
        self.granted_scope: str | None = None
        self.without: set[str] = set()
        self.token_response: Response | None = None
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
        """Return the callback URL after the user has approved the request in `address`.

        `more` changes the parameters of the response; None leaves one out.
        """
        params = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.url}/authorize?"), address
        assert params["response_type"] == "code"
        code = f"code-{self.port}-{next(self._numbers)}"
        self.codes[code] = {**params, "user": self.user}
        response = {"code": code, "state": params["state"], "iss": self.url, **more}
        response_params = {name: value for name, value in response.items() if value is not None}
        return f"{params['redirect_uri']}?{urlencode(response_params)}"

    def exchange(self, body: dict[str, str]) -> Response:
        self.token_calls.append(body)
        if self.token_response is not None:
            return self.token_response
        grant = self.codes.pop(body.get("code", ""), None)
        if grant is None or grant["redirect_uri"] != body.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        if grant["client_id"] != body.get("client_id") or body.get("client_secret") != "app-secret":
            return 401, {"error": "invalid_client"}
        if self.checks_pkce and _hash_s256(body.get("code_verifier", "")) != grant.get(
            "code_challenge"
        ):
            return 400, {"error": "invalid_grant"}
        return 200, self._build_tokens(grant)

    def _build_tokens(self, grant: dict[str, str]) -> dict[str, Any]:
        number = next(self._numbers)
        access, refresh = f"access-{grant['user']}-{number}", f"refresh-{grant['user']}-{number}"
        self.tokens[access] = grant["user"]
        response = {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": 3600,
            "token_type": "Bearer",
            "workspace": {"id": f"ws-{grant['user']}", "name": grant["user"].title()},
        }
        if self.granted_scope is not None:
            response["scope"] = self.granted_scope
        return {name: value for name, value in response.items() if name not in self.without}

    def whoami(self, authorization: str) -> Response:
        self.whoami_calls += 1
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        return (200, {"id": user, "mail": f"{user}@example.com"}) if user else (401, {})

    def company(self, name: str, authorization: str) -> Response:
        """Return a company's account, which only its own user's tokens can read."""
        self.company_calls.append(name)
        if self.company_status is not None:
            return self.company_status, {}
        user = self.tokens.get(authorization.removeprefix("Bearer "))
        return (200, {"name": user}) if user and name == f"co-{user}" else (403, {})


def _hash_s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    authorization_server: AuthorizationServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *message: Any) -> None:
        pass

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/company/"):
            name = self.path.removeprefix("/company/")
            return self._respond(*self.server.authorization_server.company(name, authorization))
        return self._respond(*self.server.authorization_server.whoami(authorization))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        body = {name: values[0] for name, values in parse_qs(raw).items()}
        if self.path == "/revoke":
            self.server.authorization_server.revoked.append(body["token"])
            return self._respond(200, {})
        return self._respond(*self.server.authorization_server.exchange(body))

    def _respond(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def build_provider_file(slug: str, url: str, **oauth: Any) -> dict[str, Any]:
    """Return the file of a provider whose token response has the workspace."""
    oauth_section = {"issuer": url, "default_scopes": ["read", "write"], "iss": True, **oauth}
    return {
        **provider_document(slug, slug.title(), url, **oauth_section),
        "kinds": {
            f"{slug}_oauth2": _build_kind(
                "oauth2", ("workspace", "workspace_name", "scope"), "workspace", _TOKEN_CONNECT
            ),
            f"{slug}_called_oauth2": _build_kind("oauth2", ("user",), "user", _CALL_CONNECT),
            f"{slug}_silent_oauth2": _build_kind("oauth2", ("user",), "user", None),
            f"{slug}_named_oauth2": {
                **(named_kind := _build_kind("oauth2", ("company",), "company", _CALLBACK_CONNECT)),
                "properties": {**named_kind["properties"], "company": _SEGMENT},
            },
            f"{slug}_plain_oauth2": {**_build_kind("oauth2", (), "", None), **_PLAIN},
            f"{slug}_key": {**_build_kind("key", ("region",), "region", None), **_KEY},
        },
    }


def _build_kind(
    mechanism: str, fields: tuple[str, ...], identity: str, connect: Any
) -> dict[str, Any]:
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
        "test": {"type": "boolean", "description": "For tests only."},
    },
    "required": ["key"],
    "secret": ["key"],
    "identity": [],
    "rotates": False,
    "grant": None,
}
