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
def _authorities(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[AuthorizationServer, AuthorizationServer]]:
    """Once a module: reading all providers' files anew takes longer than most tests."""
    folder = tmp_path_factory.mktemp("providers")
    with AuthorizationServer() as one, AuthorizationServer() as other:
        for slug, each in (("alpha", one), ("beta", other)):
            (folder / f"{slug}.json").write_text(json.dumps(build_provider_file(slug, each.url)))
        opened = ",".join(f"127.0.0.1:{each.port}" for each in (one, other))
        with override_settings(PROVIDERS_DIR=str(folder), EGRESS_ALLOW=opened):
            get_registry.cache_clear()
            yield one, other
    get_registry.cache_clear()


@pytest.fixture
def authorities(
    _authorities: tuple[AuthorizationServer, AuthorizationServer],
) -> tuple[AuthorizationServer, AuthorizationServer]:
    """Two authorization servers, registered as the providers `alpha` and `beta`."""
    for each in _authorities:
        each.reset()
    return _authorities


@pytest.fixture
def alpha(authorities: Any) -> AuthorizationServer:
    server: AuthorizationServer = authorities[0]
    return server


@pytest.fixture
def beta(authorities: Any) -> AuthorizationServer:
    server: AuthorizationServer = authorities[1]
    return server


@pytest.fixture
def says(alpha: AuthorizationServer, settings: Any) -> Iterator[Callable[..., None]]:
    """Change what alpha's file says of its authorization server: `says(iss=None)`."""
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
    """At the other authorization server."""
    return make_app(account, "beta", redirect_uris=[RETURN])


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def make_link(api: ApiClient, app: OAuthApp) -> Callable[..., dict[str, Any]]:
    """A connect link of the app, as the API answers it."""

    def make(**more: Any) -> dict[str, Any]:
        sent = {"oauth_app_id": str(app.id), "kind": "alpha_oauth2", "return_to": RETURN, **more}
        body = {name: value for name, value in sent.items() if value is not None}
        response = api.post("/v1/connect-links", body)
        assert response.status_code == 201, response.content
        link: dict[str, Any] = response.json()
        return link

    return make


@pytest.fixture
def reset_counters() -> None:
    """What earlier tests' strays and starts were counted with is forgotten."""
    cache.clear()
