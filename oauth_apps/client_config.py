"""An OAuth app as the protocol's client sees it: its opened secrets and the variables of its URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidInputError
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError, OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers.formats import get_host
from providers.kinds import OAuth
from providers.properties import resolve_url_variables
from providers.registry import get_registry
from vault.sealing import Place, SecretUnavailableError, unseal
from vault.secret import Secret


def build_oauth_client(app: OAuthApp, properties: Mapping[str, Any] | None = None) -> OAuthClient:
    """The client of `app`; `shown` are the properties of a credential that its URLs may name.

    Raises AppError as `authority_of` does, and `undecryptable` where no secret opens.
    """
    oauth, values = get_authorization_server(app)
    texts = {
        name: str(value) for name, value in (properties or {}).items() if type(value) in (str, int)
    }
    return OAuthClient(
        oauth=oauth,
        client_id=app.client_id,
        secrets=_secrets(app),
        variables={**values, **texts},
    )


def get_authorization_server(app: OAuthApp) -> tuple[OAuth, dict[str, str]]:
    """The authorization server of `app`, and the values of its URLs' variables.

    Raises AppError: `no_oauth` for a provider without one, `invalid_config` for variables that the
    provider does not take.
    """
    provider = get_registry().get_provider(app.provider)
    if provider is None or provider.oauth is None:
        raise AppError("no_oauth", f"{app.provider} has no authorization server.", sent=False)
    try:
        values = resolve_url_variables(provider, app.config)
    except InvalidInputError as fault:
        raise AppError("invalid_config", fault.detail, sent=False) from None
    return provider.oauth, values


def get_token_host(client: OAuthClient) -> str:
    """The host that refreshes go to. Raises AppError where its variables are not set."""
    oauth: OAuth = client.oauth
    return get_host(fill_url_template(oauth.refresh_url or oauth.token_url, client.variables))


def get_fixed_token_host(provider_slug: str) -> str | None:
    """The host that all refreshes at this provider go to; None where it differs per customer."""
    provider = get_registry().get_provider(provider_slug)
    if provider is None or provider.oauth is None:
        return None
    url = provider.oauth.refresh_url or provider.oauth.token_url
    return None if "{" in "/".join(url.split("/", 3)[:3]) else get_host(url)


def _secrets(app: OAuthApp) -> tuple[Secret, ...]:
    """Newest first. One that does not open is left out as long as another does."""
    # In Python, so that secrets which came with the app are not asked for again.
    rows = sorted(app.secrets.all(), key=lambda row: (row.created_at, row.id), reverse=True)
    opened = []
    for row in rows:
        try:
            opened.append(Secret(unseal(Place.of(row, "sealed"), row.sealed)))
        except SecretUnavailableError:
            continue
    if rows and not opened:
        raise AppError(
            "undecryptable", "The app's secret cannot be opened with the server's keys.", sent=False
        )
    return tuple(opened)
