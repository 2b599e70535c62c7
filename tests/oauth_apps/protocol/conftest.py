from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from egress import client as egress
from egress.policy import parse_allowlist
from oauth_apps.protocol import OAuthClient
from providers.kinds import OAuth, Refresh
from tests.oauth_apps.protocol.provider import FakeProvider
from vault.secret import Secret

MakeClient = Callable[..., OAuthClient]


@pytest.fixture(scope="session")
def _provider() -> Iterator[FakeProvider]:
    """One for all tests: a new port would be a new client, with new connections and certificates."""
    provider = FakeProvider()
    yield provider
    egress._get_client(parse_allowlist(provider.target)).close()
    egress._get_client.cache_clear()
    provider.close()


@pytest.fixture
def provider(_provider: FakeProvider, settings: Any) -> FakeProvider:
    settings.EGRESS_ALLOW = _provider.target
    _provider.reset()
    return _provider


@pytest.fixture
def make_client(provider: FakeProvider) -> MakeClient:
    """Make a client of the fake provider; the arguments change its app or its `oauth`."""

    def make(
        client_id: str = "client-1",
        secrets: tuple[str, ...] = ("secret-1",),
        variables: dict[str, str] | None = None,
        **more: Any,
    ) -> OAuthClient:
        return OAuthClient(
            oauth=make_oauth(token_url=provider.url("/token"), **more),
            client_id=client_id,
            secrets=tuple(map(Secret, secrets)),
            variables=variables or {},
        )

    return make


@pytest.fixture
def client(make_client: MakeClient) -> OAuthClient:
    return make_client()


def make_oauth(**more: Any) -> OAuth:
    """Return the facts that a provider's file must have."""
    least: dict[str, Any] = {
        "authorize_url": "https://auth.example.com/authorize",
        "token_url": "https://auth.example.com/token",
        "revocation_url": None,
        "introspection_url": None,
        "issuer": None,
        "scope_separator": " ",
        "default_scopes": (),
        "pkce": None,
        "client_auth": "client_secret_post",
        "token_params": {},
        "refresh": Refresh(None, None, None, None, None),
    }
    return OAuth(**least | more)
