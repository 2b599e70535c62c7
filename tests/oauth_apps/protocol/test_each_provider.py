"""Each OAuth provider's requests, byte for byte, and its documented responses.

`data/requests.json` has the requests of each kind: the authorization URL for an app whose own scopes
are an unrelated one, the code exchange and the refresh. They were compared with the provider's
documentation; a change of a provider file that changes a request changes this file too
(`WRITE_REQUESTS=1 pytest tests/oauth_apps/protocol/test_each_provider.py` writes it).
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from egress import Request, Response
from oauth_apps.protocol import (
    OAuthClient,
    build_authorization_url,
    exchange_code,
    refresh_tokens,
)
from providers.kinds import Kind, OAuth
from providers.properties import resolve_url_variables
from providers.registry import get_registry
from tests.oauth_apps.protocol.documented import (
    ACCESS,
    DOCUMENTED,
    NEXT_ACCESS,
    NEXT_REFRESH,
    REFRESH,
    Documented,
)
from vault.secret import Secret

FILE = Path(__file__).parent / "data" / "requests.json"
EXPECTED: dict[str, Any] = json.loads(FILE.read_text())
WRITES = os.environ.get("WRITE_REQUESTS") == "1"
VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
CALLBACK = "https://latchkey.example/connect/callback"
NOW = dt.datetime(2026, 11, 30, 9, 30, tzinfo=dt.UTC)

REGISTRY = get_registry()


def find_oauth(kind: Kind) -> OAuth | None:
    return REGISTRY.get_oauth(kind.name)


CONNECTABLE = sorted(
    kind.name
    for kind in {kind.name: kind for kind in REGISTRY.kinds.values()}.values()
    if kind.mechanism == "oauth2" and (oauth := find_oauth(kind)) and oauth.authorize_url
)


def make_client(name: str) -> OAuthClient:
    kind, documented = REGISTRY.kinds[name], DOCUMENTED[name]
    oauth = find_oauth(kind)
    assert oauth
    variables = resolve_url_variables(REGISTRY.providers[kind.provider], documented.config)
    return OAuthClient(
        oauth=oauth,
        client_id="client-1",
        secrets=(Secret("s3cr3t+/="),),
        variables=variables | documented.properties,
    )


def record(request: Request) -> dict[str, Any]:
    body = request.body.decode() if isinstance(request.body, bytes) else None
    headers = [f"{name}: {value}" for name, value in request.headers]
    return {"request": f"{request.method} {request.url}", "headers": headers, "body": body}


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a list to put responses into; the requests that were sent for them are in `.sent`."""

    class Exchange(list[Any]):
        sent: list[dict[str, Any]] = []

    exchange = Exchange()
    exchange.sent = []

    def send(request: Request, **_: Any) -> Response:
        exchange.sent.append(record(request))
        return Response(200, (("content-type", "application/json"),), orjson.dumps(exchange.pop(0)))

    monkeypatch.setattr("oauth_apps.protocol.transport.egress.send", send)
    return exchange


def build_url(client: OAuthClient, *, params: dict[str, str] | None = None) -> str:
    return build_authorization_url(
        client,
        redirect_uri=CALLBACK,
        state="state-1",
        scopes=client.oauth.add_required_scopes(["unrelated"]),
        verifier=VERIFIER,
        params=params,
    )


def run_flow(name: str, exchange: Any) -> dict[str, Any]:
    """Connect and refresh; return the requests, after checking what was read in the responses."""
    client, documented = make_client(name), DOCUMENTED[name]
    requests: dict[str, Any] = {"authorize": build_url(client)}
    exchange.append(documented.code)
    found = exchange_code(client, code=Secret("code-1"), redirect_uri=CALLBACK, verifier=VERIFIER)
    assert found.access_token == Secret(ACCESS)
    assert found.expires_in == documented.seconds
    requests["exchange"] = exchange.sent.pop()
    if documented.refresh is None:
        return requests
    assert found.refresh_token == Secret(REFRESH)
    exchange.append(documented.refresh)
    check_refresh(client, documented)
    requests["refresh"] = exchange.sent.pop()
    assert exchange.sent == []
    return requests


def check_refresh(client: OAuthClient, documented: Documented) -> None:
    found = refresh_tokens(client, refresh_token=Secret(REFRESH))
    assert found.access_token == Secret(NEXT_ACCESS)
    assert found.expires_in == documented.seconds
    # None: the old one stays valid.
    expected = (Secret(NEXT_REFRESH),) if documented.rotates else (None, Secret(REFRESH))
    assert found.refresh_token in expected


@pytest.fixture(scope="module", autouse=True)
def _written() -> Any:
    yield
    if WRITES:
        lines = [f"{json.dumps(name)}: {json.dumps(EXPECTED[name])}" for name in CONNECTABLE]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


@pytest.mark.parametrize("name", CONNECTABLE)
def test_connects_and_refreshes_as_documented(name, exchange, time_machine):
    time_machine.move_to(NOW, tick=False)
    requests = run_flow(name, exchange)
    if WRITES:
        EXPECTED[name] = requests
    assert requests == EXPECTED[name]


def test_each_connectable_kind_has_its_responses_and_requests():
    assert sorted(DOCUMENTED) == CONNECTABLE
    assert sorted(EXPECTED) == CONNECTABLE


@pytest.mark.parametrize("name", CONNECTABLE)
def test_own_scopes_keep_the_offline_and_the_identity_scope(name):
    client = make_client(name)
    oauth = client.oauth
    query = parse_qs(urlsplit(build_url(client)).query)
    sent = query[oauth.scope_param][0].split(oauth.scope_separator)
    assert sent == ["unrelated", *(each.scope for each in oauth.required_scopes)]


@pytest.mark.parametrize("name", CONNECTABLE)
def test_a_refresh_that_rotates_is_stated_by_the_file(name):
    """A file that says that a provider does not rotate agrees with its documented response."""
    oauth, documented = make_client(name).oauth, DOCUMENTED[name]
    if oauth.refresh.rotates is False:
        assert not documented.rotates


@pytest.mark.parametrize("name", CONNECTABLE)
def test_options_of_the_app_are_added_and_unknown_ones_are_not(name):
    client = make_client(name)
    values = {
        option: each.values[0] if each.values else "acme"
        for option, each in client.oauth.authorize_options.items()
    }
    url = build_url(client, params={**values, "client_id": "other", "x_unknown": "1"})
    query = parse_qs(urlsplit(url).query)
    assert {option: query[option] for option in values} == {k: [v] for k, v in values.items()}
    assert query["client_id"] == ["client-1"]
    assert "x_unknown" not in query
