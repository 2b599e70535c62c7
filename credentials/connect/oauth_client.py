"""An OAuth app as the protocol client needs it to send a browser away: no seal is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oauth_apps.client_config import authority_of
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import Client, ProtocolError
from oauth_apps.protocol.urls import fill


def bare_client(app: OAuthApp, given: Mapping[str, Any]) -> Client:
    """`oauth_apps.client_config.client_of` without the secrets. Raises AppError."""
    oauth, values = authority_of(app)
    said = {name: str(value) for name, value in given.items()}
    return Client(oauth=oauth, client_id=app.client_id, secrets=(), variables={**values, **said})


def issuer_of(client: Client) -> str:
    """The issuer that answers must name, "" where the provider's file has none."""
    try:
        return fill(client.oauth.issuer, client.variables) if client.oauth.issuer else ""
    except ProtocolError:
        return ""


def issuer_fits(client: Client, issuer: str, iss: str | None) -> bool:
    """Whether an authorization answer's `iss` is right (RFC 9207 §2.4).

    Where it is sent, it is exactly `issuer`, the one that the attempt began with; where the file
    says that the provider sends it, it may not be left out. A provider whose issuer is not known
    can only be held to its own host.
    """
    if iss is None:
        return client.oauth.iss is not True
    if issuer:
        return iss == issuer
    return iss == _origin(fill(client.oauth.authorize_url or "", client.variables))


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
