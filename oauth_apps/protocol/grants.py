"""A kind's `grant`: how its credentials get their access tokens, from the properties alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from oauth_apps.protocol.errors import ProtocolError, UserError
from oauth_apps.protocol.github import installation_token
from oauth_apps.protocol.tokens import client_credentials, refresh
from oauth_apps.protocol.types import Client, Tokens
from providers.kinds import Kind
from vault.secret import Secret


def grant(client: Client, kind: Kind, properties: Mapping[str, Any]) -> Tokens:
    """An access token for a credential of `kind`, as its file's `grant` says.

    `properties` are the credential's, with real secrets (as str or Secret); those that are not
    secret fill the URLs' variables, too. Raises ProtocolError: `not_supported` for a kind without
    a grant, UserError `missing_token` where the refresh token is not there.
    """
    ask = GRANTS.get(kind.grant or "")
    if ask is None:
        raise ProtocolError(
            "not_supported", f"{kind.name} has no access tokens to get.", sent=False
        )
    shown = {
        name: str(value)
        for name, value in properties.items()
        if name not in kind.secret_fields and type(value) in (str, int)
    }
    return ask(replace(client, variables={**client.variables, **shown}), properties)


def _refresh(client: Client, properties: Mapping[str, Any]) -> Tokens:
    held = properties.get("refresh_token")
    if not held:
        raise UserError("missing_token", "There is no refresh token to use.", sent=False)
    return refresh(client, refresh_token=held if isinstance(held, Secret) else Secret(held))


def _client_credentials(client: Client, properties: Mapping[str, Any]) -> Tokens:
    return client_credentials(client, scopes=())


def _github_installation(client: Client, properties: Mapping[str, Any]) -> Tokens:
    return installation_token(client)


GRANTS: Final[Mapping[str, Callable[[Client, Mapping[str, Any]], Tokens]]] = {
    "refresh_token": _refresh,
    "client_credentials": _client_credentials,
    "github_installation": _github_installation,
}
"""Every grant that a provider's file may name."""
