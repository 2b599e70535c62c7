from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from accounts.models import Account
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from tests.api import ApiClient
from tests.browser.navigation import press
from tests.credentials.connect.flows import parse_query
from tests.credentials.connect.server import build_provider_file
from tests.factories import make_account, make_app, make_token

ROOT = Path(__file__).parents[3]

pytest.importorskip("oauth2_provider")
pytest.importorskip("authlib")


class ServerProcess:
    """A real authorization server in its own process."""

    def __init__(self, library: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.connect.authserver", library, str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "AUTHLIB_INSECURE_TRANSPORT": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(self, app: OAuthApp, *redirect_uris: str, name: str = "") -> None:
        """Register a client with the app's secret; its client id is `name`, or the app's if empty."""
        made = {"client_id": name or app.client_id, "client_secret": "app-secret"}
        self.call("/_register", {**made, "redirect_uris": redirect_uris})

    def tokens(self) -> int:
        return int(self.call("/_live")["tokens"])

    def call(self, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data)) as response:  # noqa: S310 - on loopback
            document: dict[str, Any] = json.load(response)
            return document

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Company:
    """The company's own site, which stores every path that browsers open."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        company = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.startswith("/favicon"):
                    company.visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<title>Acme</title><h1>Welcome back</h1>")

            def log_message(self, *message: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/connected"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def last(self) -> dict[str, str]:
        return parse_query(self.visits[-1])


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    folder = tmp_path_factory.mktemp("servers")
    both = ServerProcess("dot", folder), ServerProcess("authlib", folder)
    yield both
    for each in both:
        each.stop()


@pytest.fixture
def company() -> Iterator[Company]:
    company = Company()
    yield company
    company.stop()


@pytest.fixture
def site(
    servers: tuple[ServerProcess, ServerProcess], live_server: Any, settings: Any, tmp_path: Path
) -> Iterator[str]:
    """Run this service on `localhost`; the other servers are on 127.0.0.1, which is another site."""
    url = f"http://localhost:{live_server.thread.port}"
    dot, authlib = servers
    settings.PUBLIC_URL = url
    settings.CSRF_TRUSTED_ORIGINS = [url]
    settings.PROVIDERS_DIR = str(tmp_path)
    settings.EGRESS_ALLOW = f"127.0.0.1:{dot.port},127.0.0.1:{authlib.port}"
    facts: dict[str, tuple[ServerProcess, dict[str, Any]]] = {
        "alpha": (dot, {"iss": True, "revocation_url": f"{dot.url}/revoke_token/"}),
        "beta": (authlib, {"iss": None, "issuer": None, "revocation_url": None}),
    }
    for slug, (server, oauth) in facts.items():
        ends = {
            "authorize_url": f"{server.url}/authorize/",
            "token_url": f"{server.url}/token/",
        }
        document = build_provider_file(slug, server.url, **ends, **oauth)
        (tmp_path / f"{slug}.json").write_text(json.dumps(document))
    get_registry.cache_clear()
    yield url
    get_registry.cache_clear()


@pytest.fixture
def account(site: str) -> Account:
    return make_account("Acme")


@pytest.fixture
def api(account: Account) -> ApiClient:
    return ApiClient(make_token(account))


@pytest.fixture
def apps(
    account: Account, servers: tuple[ServerProcess, ServerProcess], company: Company, site: str
) -> tuple[OAuthApp, OAuthApp]:
    made = []
    for slug, server in zip(("alpha", "beta"), servers, strict=True):
        app = make_app(
            account,
            slug,
            redirect_uris=[company.address],
            client_id=f"{slug}-{site[-5:]}-{os.urandom(4).hex()}",
        )
        server.register(app, f"{site}/link/oauth2/callback/{slug}/{app.id}")
        made.append(app)
    return made[0], made[1]


@pytest.fixture
def people(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page in a new browser, without JavaScript by default."""
    contexts = []

    def person(**more: Any) -> Any:
        context = chromium.new_context(**{"java_script_enabled": False, **more})
        context.set_default_timeout(30_000)
        contexts.append(context)
        return context.new_page()

    yield person
    for context in contexts:
        context.close()


@pytest.fixture
def page(people: Callable[..., Any]) -> Any:
    return people()


def log_in(page: Any, user: str = "ann") -> None:
    page.get_by_label("User").fill(user)
    press(page, "Log in")


def approve(page: Any, user: str = "ann", *, button: str = "Authorize") -> None:
    """Log in at the provider and press `button`."""
    log_in(page, user)
    press(page, button)


def get_heading(page: Any) -> str:
    return re.sub(r"\s+", " ", page.locator("h1").inner_text())
