from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import override_settings

from accounts.models import Account
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from tests.api import ApiClient
from tests.credentials.connect.flows import RETURN, Browser
from tests.credentials.connect.server import AuthorizationServer, build_provider_file
from tests.factories import make_app


@pytest.fixture(scope="module")
def _running_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[AuthorizationServer, AuthorizationServer]]:
    """Start two servers once per module: reading the provider files takes longer than most tests."""
    folder = tmp_path_factory.mktemp("providers")
    with AuthorizationServer() as one, AuthorizationServer() as other:
        for slug, each in (("alpha", one), ("beta", other)):
            (folder / f"{slug}.json").write_text(json.dumps(build_provider_file(slug, each.url)))
        allowed = ",".join(f"127.0.0.1:{each.port}" for each in (one, other))
        with override_settings(PROVIDERS_DIR=str(folder), EGRESS_ALLOW=allowed):
            get_registry.cache_clear()
            yield one, other
    get_registry.cache_clear()


@pytest.fixture
def servers(
    _running_servers: tuple[AuthorizationServer, AuthorizationServer],
) -> tuple[AuthorizationServer, AuthorizationServer]:
    """Return two authorization servers, registered as the providers `alpha` and `beta`."""
    for each in _running_servers:
        each.reset()
    return _running_servers


@pytest.fixture
def alpha(servers: Any) -> AuthorizationServer:
    server: AuthorizationServer = servers[0]
    return server


@pytest.fixture
def beta(servers: Any) -> AuthorizationServer:
    server: AuthorizationServer = servers[1]
    return server


@pytest.fixture
def change_oauth(alpha: AuthorizationServer, settings: Any) -> Iterator[Callable[..., None]]:
    """Return a function that changes the OAuth section of alpha's file: `change_oauth(iss=None)`."""
    file = Path(settings.PROVIDERS_DIR, "alpha.json")
    before = file.read_text()

    def write(**oauth: Any) -> None:
        file.write_text(json.dumps(build_provider_file("alpha", alpha.url, **oauth)))
        get_registry.cache_clear()

    yield write
    file.write_text(before)
    get_registry.cache_clear()


@pytest.fixture
def app(account: Account, alpha: AuthorizationServer) -> OAuthApp:
    return make_app(account, "alpha", redirect_uris=[RETURN])


@pytest.fixture
def other_app(account: Account, beta: AuthorizationServer) -> OAuthApp:
    """Create an app at the other authorization server."""
    return make_app(account, "beta", redirect_uris=[RETURN])


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def make_link(api: ApiClient, app: OAuthApp) -> Callable[..., dict[str, Any]]:
    """Return a function that creates a connect link of the app by the API."""

    def make(**more: Any) -> dict[str, Any]:
        parameters = {
            "oauth_app_id": str(app.id),
            "kind": "alpha_oauth2",
            "return_to": RETURN,
            **more,
        }
        body = {name: value for name, value in parameters.items() if value is not None}
        response = api.post("/v1/connect-links", body)
        assert response.status_code == 201, response.content
        link: dict[str, Any] = response.json()
        return link

    return make


@pytest.fixture
def reset_counters() -> None:
    """Clear the rate limits that earlier tests have used up."""
    cache.clear()
