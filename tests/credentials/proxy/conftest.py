from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import override_settings

import egress.client
from accounts.models import Account
from config import proxy_app
from credentials.models import Credential
from egress import Client
from providers.registry import get_registry
from tests.credentials.proxy.provider_files import write_files
from tests.credentials.proxy.raw_server import RawServer
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.upstream import UpstreamServer
from tests.credentials.upstream import upstreams
from tests.egress.certificates import Authority
from tests.factories import make_credential, make_token
from tests.fakes.fixtures import app, facts, grant, provider

__all__ = ["app", "facts", "grant", "provider"]

KEY = "up_secret_0123456789abcdef"


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def upstream(
    shared_upstream: UpstreamServer, settings: Any, tmp_path: Path
) -> Iterator[UpstreamServer]:
    """A provider on loopback, registered under the names in `provider_files.py`."""
    shared_upstream.clear()
    write_files(tmp_path / "upstream", shared_upstream.port)
    settings.PROVIDERS_DIR = str(tmp_path / "upstream")
    settings.EGRESS_ALLOW = f"127.0.0.1:{shared_upstream.port}"
    get_registry.cache_clear()
    yield shared_upstream
    get_registry.cache_clear()


class CallerResponse(NamedTuple):
    """A response as the server would send it. `error`: what the iteration raised after `body`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    error: Exception | None = None

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Calls the application in this thread, as a server does."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.token = token
        self._proxy = proxy_app.build_proxy(client)

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        bearer: bool = True,
        chunked: bool = False,
        headers: dict[str, str] | None = None,
        **environ: Any,
    ) -> CallerResponse:
        variables: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8001",
            "wsgi.input": io.BytesIO(body),
        }
        if bearer:
            variables["HTTP_AUTHORIZATION"] = f"Bearer {self.token}"
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            variables[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        if chunked:
            variables["HTTP_TRANSFER_ENCODING"] = "chunked"
        elif body:
            variables["CONTENT_LENGTH"] = str(len(body))
        return self._answer({**variables, **environ})

    def get(self, target: str, **more: Any) -> CallerResponse:
        return self.send("GET", target, **more)

    def _answer(self, environ: dict[str, Any]) -> CallerResponse:
        head: list[Any] = []
        response = self._proxy(environ, lambda *values: head.extend(values))
        body: list[bytes] = []
        error_raised = None
        try:
            body.extend(response)
        except Exception as error:
            error_raised = error
        finally:
            getattr(response, "close", lambda: None)()
        return CallerResponse(int(head[0].split()[0]), head[1], b"".join(body), error_raised)


@pytest.fixture
def caller(account: Account, upstream: UpstreamServer) -> Iterator[Caller]:
    """Return a caller of `account` with every scope."""
    client = Client(allow=frozenset({("127.0.0.1", upstream.port)}))
    yield Caller(client, make_token(account))
    client.close()


@pytest.fixture
def raw(settings: Any, tmp_path: Path) -> Iterator[RawServer]:
    """A provider like `upstream` that responds with the bytes of a test, and records raw headers."""
    with RawServer() as server:
        write_files(tmp_path / "upstream", server.port)
        settings.PROVIDERS_DIR = str(tmp_path / "upstream")
        settings.EGRESS_ALLOW = f"127.0.0.1:{server.port}"
        get_registry.cache_clear()
        yield server
    get_registry.cache_clear()


@pytest.fixture
def raw_caller(raw: RawServer, account: Account) -> Iterator[Caller]:
    """A caller of `account`, which has credentials of the raw provider."""
    for kind in ("upstream_key", "upheader_key", "upbase_key"):
        make_credential(account, {"properties": {"kind": kind, "key": KEY}})
    client = Client(allow=frozenset({("127.0.0.1", raw.port)}))
    yield Caller(client, make_token(account))
    client.close()


@pytest.fixture
def create_credential(account: Account, upstream: UpstreamServer) -> Callable[..., Credential]:
    """Create a credential of the upstream provider: `create_credential("upstream_key", key=…)`."""

    def make(kind: str = "upstream_key", **properties: Any) -> Credential:
        values = properties or {"key": KEY}
        return make_credential(account, {"properties": {"kind": kind, **values}})

    return make


@pytest.fixture
def row(create_credential: Callable[..., Credential]) -> Credential:
    """A credential of the kind `upstream_key`."""
    return create_credential()


@pytest.fixture
def path(row: Credential) -> str:
    """The path on which that credential is used."""
    return f"/v1/proxy/credential/{row.id}"


@pytest.fixture
def binance(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A provider that responds as api.binance.com."""
    with upstreams(authority, monkeypatch, "api.binance.com") as servers:
        yield servers["api.binance.com"]


@pytest.fixture
def trader(account: Account, binance: Any) -> Caller:
    """A caller of `account` who reaches `binance`."""
    return Caller(egress.client.get_default_client(), make_token(account))


def basic_auth_header(username: str, password: str = "") -> dict[str, str]:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@pytest.fixture(scope="module")
def server(
    shared_upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[ServerProcess]:
    """A server for all tests that do not change it: its start takes longer than most of them."""
    folder = tmp_path_factory.mktemp("served")
    write_files(folder, shared_upstream.port)
    allowed = f"127.0.0.1:{shared_upstream.port}"
    with override_settings(PROVIDERS_DIR=str(folder), EGRESS_ALLOW=allowed):
        starting = ServerProcess(django_settings, str(connection.settings_dict["NAME"]))
    with starting as serving:
        yield serving
