"""The protocol's client of an OAuth app: its decrypted secrets and the variables of its URLs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from common.errors import InvalidInputError
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError, OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers.kinds import OAuth
from providers.properties import resolve_url_variables
from providers.registry import get_registry
from vault.sealing import Place, SecretUnavailableError, unseal
from vault.secret import Secret


def build_oauth_client(
    app: OAuthApp, kind_name: str, properties: Mapping[str, Any] | None = None
) -> OAuthClient:
    """Return the client of `app` for credentials of one kind.

    Its URLs may contain the `properties` of a credential.

    Raises AppError as `get_authorization_server` does, and with `undecryptable` if no secret can be
    decrypted.
    """
    oauth, values = get_authorization_server(app, kind_name)
    texts = {
        name: str(value) for name, value in (properties or {}).items() if type(value) in (str, int)
    }
    return OAuthClient(
        oauth=oauth,
        client_id=app.client_id,
        secrets=_decrypt_secrets(app),
        variables={**values, **texts},
        scopes=tuple(app.scopes),
    )


def get_authorization_server(app: OAuthApp, kind_name: str) -> tuple[OAuth, dict[str, str]]:
    """Return the server of `app` for a kind of credential, and the values of its URLs' variables.

    Raises AppError: `no_oauth` for a kind without a server, `invalid_config` for variables that the
    provider does not have.
    """
    provider = get_registry().get_provider(app.provider)
    oauth = get_registry().get_oauth(kind_name)
    if provider is None or oauth is None:
        raise AppError("no_oauth", f"{app.provider} has no authorization server.", sent=False)
    try:
        values = resolve_url_variables(provider, app.config)
    except InvalidInputError as error:
        raise AppError("invalid_config", error.detail, sent=False) from None
    return oauth, values


def get_token_host(client: OAuthClient) -> str:
    """Return host and port of refresh requests. Raises AppError if its variables are not set."""
    oauth: OAuth = client.oauth
    url = fill_url_template(oauth.refresh_url or oauth.token_url, client.variables)
    return _get_host_and_port(url)


def get_fixed_token_host(provider_slug: str) -> str | None:
    """Return host and port of all refresh requests at this provider; None if there are several."""
    provider = get_registry().get_provider(provider_slug)
    servers = provider.list_oauth() if provider else []
    origins = {"/".join((each.refresh_url or each.token_url).split("/", 3)[:3]) for each in servers}
    origin = origins.pop() if len(origins) == 1 else "{"
    return None if "{" in origin else _get_host_and_port(origin)


def _get_host_and_port(url: str) -> str:
    # Two servers on one machine are two services: one may be down while the other is not.
    return urlsplit(url).netloc.lower()


def has_one_issuer(app: OAuthApp) -> bool:
    """Return whether all apps with this app's config have one authorization server.

    A customer's own server is another issuer.
    """
    provider = get_registry().get_provider(app.provider)
    if provider is None or not provider.list_oauth():
        return False
    shared = {
        name: item.default
        for name, item in provider.variables.items()
        if item.place == "origin" and item.default and app.config.get(name) in (None, item.default)
    }
    urls = "".join(f"{each.authorize_url}{each.token_url}" for each in provider.list_oauth())
    for name, default in shared.items():
        urls = urls.replace(f"{{{name}}}", default)
    return "{" not in urls


def _decrypt_secrets(app: OAuthApp) -> tuple[Secret, ...]:
    """Return the secrets, newest first, without those that cannot be decrypted if one can."""
    # Sorted in Python, because prefetched secrets would be queried again otherwise.
    rows = sorted(app.secrets.all(), key=lambda row: (row.created_at, row.id), reverse=True)
    secrets = []
    for row in rows:
        try:
            secrets.append(Secret(unseal(Place.of(row, "sealed"), row.sealed)))
        except SecretUnavailableError:
            continue
    if rows and not secrets:
        raise AppError(
            "undecryptable",
            "The app's secret cannot be decrypted with this server's keys.",
            sent=False,
        )
    return tuple(secrets)
