"""The grants of kinds: how an access token is requested from a credential's properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from oauth_apps.protocol.errors import OAuth2Error, UserError
from oauth_apps.protocol.github import request_installation_token
from oauth_apps.protocol.tokens import refresh_tokens, request_client_credentials_token
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from providers.kinds import Kind
from vault.secret import Secret

GRANTS: Final = frozenset({"refresh_token", "client_credentials", "github_installation"})
"""The grants that a provider's file may name."""


def request_access_token(
    client: OAuthClient, kind: Kind, properties: Mapping[str, Any]
) -> TokenResponse:
    """Request an access token for a credential of `kind`, by the `grant` of its file.

    `properties` are the credential's, with the real secrets (str or Secret); those that are not
    secret fill the URLs' variables too. Raises OAuth2Error: `not_supported` for a kind without a
    grant, UserError `missing_token` if there is no refresh token.
    """
    if kind.grant not in GRANTS:
        raise OAuth2Error(
            "not_supported", f"{kind.name} has no access tokens to request.", sent=False
        )
    variables = {
        name: str(value)
        for name, value in properties.items()
        if name not in kind.secret_fields and type(value) in (str, int)
    }
    client = replace(client, variables={**client.variables, **variables})
    if kind.grant == "client_credentials":
        return request_client_credentials_token(client, scopes=client.scopes)
    if kind.grant == "github_installation":
        return request_installation_token(client)
    token = properties.get("refresh_token")
    if not token:
        raise UserError("missing_token", "There is no refresh token to use.", sent=False)
    return refresh_tokens(
        client, refresh_token=token if isinstance(token, Secret) else Secret(token)
    )
