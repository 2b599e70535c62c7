"""A kind's `grant`: how its credentials get their access tokens, from the properties alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from oauth_apps.protocol.errors import OAuth2Error, UserError
from oauth_apps.protocol.github import request_installation_token
from oauth_apps.protocol.tokens import refresh_tokens, request_client_credentials_token
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from providers.kinds import Kind
from vault.secret import Secret


def request_access_token(
    client: OAuthClient, kind: Kind, properties: Mapping[str, Any]
) -> TokenResponse:
    """An access token for a credential of `kind`, as its file's `grant` says.

    `properties` are the credential's, with real secrets (as str or Secret); those that are not
    secret fill the URLs' variables, too. Raises ProtocolError: `not_supported` for a kind without
    a grant, UserError `missing_token` where the refresh token is not there.
    """
    ask = GRANTS.get(kind.grant or "")
    if ask is None:
        raise OAuth2Error("not_supported", f"{kind.name} has no access tokens to get.", sent=False)
    shown = {
        name: str(value)
        for name, value in properties.items()
        if name not in kind.secret_fields and type(value) in (str, int)
    }
    return ask(replace(client, variables={**client.variables, **shown}), properties)


def _refresh(client: OAuthClient, properties: Mapping[str, Any]) -> TokenResponse:
    held = properties.get("refresh_token")
    if not held:
        raise UserError("missing_token", "There is no refresh token to use.", sent=False)
    return refresh_tokens(client, refresh_token=held if isinstance(held, Secret) else Secret(held))


def _client_credentials(client: OAuthClient, properties: Mapping[str, Any]) -> TokenResponse:
    return request_client_credentials_token(client, scopes=())


def _github_installation(client: OAuthClient, properties: Mapping[str, Any]) -> TokenResponse:
    return request_installation_token(client)


GRANTS: Final[Mapping[str, Callable[[OAuthClient, Mapping[str, Any]], TokenResponse]]] = {
    "refresh_token": _refresh,
    "client_credentials": _client_credentials,
    "github_installation": _github_installation,
}
"""Every grant that a provider's file may name."""
