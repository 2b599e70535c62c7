"""The grants of kinds: how an access token is requested from a credential's properties."""

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
    """Request an access token for a credential of `kind`, by the `grant` of its file.

    `properties` are the credential's, with the real secrets (str or Secret); those that are not
    secret fill the URLs' variables too. Raises OAuth2Error: `not_supported` for a kind without a
    grant, UserError `missing_token` if there is no refresh token.
    """
    request_token = GRANTS.get(kind.grant or "")
    if request_token is None:
        raise OAuth2Error(
            "not_supported", f"{kind.name} has no access tokens to request.", sent=False
        )
    variables = {
        name: str(value)
        for name, value in properties.items()
        if name not in kind.secret_fields and type(value) in (str, int)
    }
    return request_token(replace(client, variables={**client.variables, **variables}), properties)


def _refresh(client: OAuthClient, properties: Mapping[str, Any]) -> TokenResponse:
    token = properties.get("refresh_token")
    if not token:
        raise UserError("missing_token", "There is no refresh token to use.", sent=False)
    return refresh_tokens(
        client, refresh_token=token if isinstance(token, Secret) else Secret(token)
    )


GRANTS: Final[Mapping[str, Callable[[OAuthClient, Mapping[str, Any]], TokenResponse]]] = {
    "refresh_token": _refresh,
    "client_credentials": lambda client, _: request_client_credentials_token(client, scopes=()),
    "github_installation": lambda client, _: request_installation_token(client),
}
"""The grants that a provider's file may name."""
