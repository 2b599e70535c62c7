"""Two self-hosted GitLabs of one account, from the connection to the proxy."""

from __future__ import annotations

import io
import itertools
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from config import proxy_app
from credentials.models import Credential
from egress import Client
from tests.credentials.connect.flows import RETURN, exchange_code_at_api, parse_query, start_flow
from tests.factories import make_app, make_token

pytestmark = pytest.mark.django_db


class GitLab(ThreadingHTTPServer):
    """A GitLab below `/git`, whose only user has the id 7. Each refresh replaces the token."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.origin = f"http://127.0.0.1:{self.server_address[1]}/git"
        self.requests: list[str] = []
        self.codes: set[str] = set()
        self.token = ""
        self._numbers = itertools.count(1)

    def approve(self, address: str) -> str:
        """Return the callback URL after the user has approved the request."""
        assert address.startswith(f"{self.origin}/oauth/authorize?"), address
        params = parse_query(address)
        assert params["scope"].split() == ["api"]
        code = f"code-{self.name}"
        self.codes.add(code)
        return f"{params['redirect_uri']}?{urlencode({'code': code, 'state': params['state']})}"

    def issue(self, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        is_known = body.get("code") in self.codes or body.get("refresh_token") == (
            f"refresh-{self.token}"
        )
        if not is_known:
            return 400, {"error": "invalid_grant"}
        self.codes.clear()
        self.token = f"{self.name}-{next(self._numbers)}"
        tokens = {"access_token": self.token, "refresh_token": f"refresh-{self.token}"}
        return 200, {**tokens, "token_type": "Bearer", "expires_in": 7200, "scope": "api"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GitLab

    def log_message(self, *message: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._respond(401, {})
        return self._respond(200, {"id": 7, "username": f"ann-{self.server.name}"})

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = {name: values[0] for name, values in parse_qs(body).items()}
        return self._respond(*self.server.issue(fields))

    def _respond(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def gitlabs(settings: Any) -> Iterator[tuple[GitLab, GitLab]]:
    servers = GitLab("one"), GitLab("two")
    settings.EGRESS_ALLOW = ",".join(urlsplit(each.origin).netloc for each in servers)
    for each in servers:
        threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True).start()
    yield servers
    for each in servers:
        each.shutdown()
        each.server_close()


def connect(account: Any, api: Any, browser: Any, gitlab: GitLab) -> Credential:
    app = make_app(
        account,
        "gitlab",
        redirect_uris=[RETURN],
        scopes=["api"],
        config={"origin": gitlab.origin},
    )
    response = browser.open(gitlab.approve(start_flow(browser, app)))
    assert response.status_code == 303, response.content
    issued = exchange_code_at_api(app, parse_query(response["Location"])["code"])
    assert issued.status_code == 200, issued.content
    created = api.post("/v1/credentials", issued.json()["credential"])
    assert created.status_code == 200, created.content
    return Credential.objects.get(oauth_app=app)


def _keep_status(statuses: list[str], status: str, headers: object) -> None:
    statuses.append(status)


def test_two_gitlabs_of_one_account(account, api, browser, gitlabs):
    rows = [connect(account, api, browser, gitlab) for gitlab in gitlabs]
    # The same id of the user at two servers is two accounts.
    assert [row.properties["user_id"] for row in rows] == [7, 7]
    assert [row.properties["username"] for row in rows] == ["ann-one", "ann-two"]
    for row, gitlab in zip(rows, gitlabs, strict=True):
        assert gitlab.token == f"{gitlab.name}-1"
        assert api.post(f"/v1/credentials/{row.id}/refresh").status_code == 200
        assert gitlab.token == f"{gitlab.name}-2"
        assert api.post(f"/v1/credentials/{row.id}/check").json()["health"]["status"] == "ok"
        assert f"GET {urlsplit(gitlab.origin).path}/api/v4/user" in gitlab.requests
    allowed = frozenset(("127.0.0.1", each.server_address[1]) for each in gitlabs)
    client = Client(allow=allowed)
    proxy, token = proxy_app.build_proxy(client), make_token(account)
    for row, gitlab in zip(rows, gitlabs, strict=True):
        target = f"/v1/proxy/credential/{row.id}/api/v4/projects?page=2"
        environ: Any = {
            "REQUEST_METHOD": "GET",
            "RAW_URI": target,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8001",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "wsgi.input": io.BytesIO(),
        }
        statuses: list[str] = []
        body = proxy(environ, partial(_keep_status, statuses))
        assert json.loads(b"".join(body)) == {"id": 7, "username": f"ann-{gitlab.name}"}
        assert statuses[0].startswith("200")
        assert gitlab.requests[-1] == "GET /git/api/v4/projects?page=2"
    client.close()


def test_a_credential_cannot_choose_its_server(account, api, gitlabs):
    app = make_app(account, "gitlab", config={"origin": gitlabs[0].origin})
    body = {
        "oauth_app_id": str(app.id),
        "properties": {
            "kind": "gitlab_oauth2",
            "refresh_token": "rt",
            "origin": gitlabs[1].origin,
        },
    }
    response = api.post("/v1/credentials", body)
    assert response.status_code == 422
    assert list(response.json()["validation_errors"]) == ["properties.origin"]


def test_two_servers_cannot_share_a_short_callback(account, api, gitlabs):
    own = make_app(account, "gitlab", config={"origin": gitlabs[0].origin})
    shared = make_app(account, "gitlab")
    path = "/v1/oauth-apps/{}/connect-settings"
    response = api.patch(path.format(own.id), {"short_callback": True})
    assert response.status_code == 422
    assert list(response.json()["validation_errors"]) == ["short_callback"]
    assert api.patch(path.format(shared.id), {"short_callback": True}).status_code == 200
