"""An OAuth app as the protocol client needs it to send a browser away: no seal is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oauth_apps.client_config import get_authorization_server
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import OAuth2Error, OAuthClient
from oauth_apps.protocol.urls import fill_url_template


def build_client_without_secrets(app: OAuthApp, given: Mapping[str, Any]) -> OAuthClient:
    """`oauth_apps.client_config.build_oauth_client` without the secrets. Raises AppError."""
    oauth, values = get_authorization_server(app)
    said = {name: str(value) for name, value in given.items()}
    return OAuthClient(
        oauth=oauth, client_id=app.client_id, secrets=(), variables={**values, **said}
    )


def get_issuer(client: OAuthClient) -> str:
    """The issuer that answers must name, "" where the provider's file has none."""
    try:
        return (
            fill_url_template(client.oauth.issuer, client.variables) if client.oauth.issuer else ""
        )
    except OAuth2Error:
        return ""


def is_expected_issuer(client: OAuthClient, issuer: str, iss: str | None) -> bool:
    """Whether an authorization answer's `iss` is right (RFC 9207 §2.4).

    Where it is sent, it is exactly `issuer`, the one that the attempt began with; where the file
    says that the provider sends it, it may not be left out. A provider whose issuer is not known
    can only be held to its own host.
    """
    if iss is None:
        return client.oauth.iss is not True
    if issuer:
        return iss == issuer
    return iss == _origin(fill_url_template(client.oauth.authorize_url or "", client.variables))


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
