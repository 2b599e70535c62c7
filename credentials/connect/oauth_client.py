"""The OAuth client for the authorization request, which needs no secret, and the issuer check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oauth_apps.client_config import get_authorization_server
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import OAuth2Error, OAuthClient
from oauth_apps.protocol.urls import fill_url_template


def build_client_without_secrets(
    app: OAuthApp, kind_name: str, properties: Mapping[str, Any]
) -> OAuthClient:
    """Return what `build_oauth_client` returns, but decrypt nothing. Raises AppError."""
    oauth, variables = get_authorization_server(app, kind_name)
    variables = {**variables, **{name: str(value) for name, value in properties.items()}}
    return OAuthClient(oauth=oauth, client_id=app.client_id, secrets=(), variables=variables)


def get_issuer(client: OAuthClient) -> str:
    """Return the issuer that responses must name, "" if the provider's file has none."""
    if not client.oauth.issuer:
        return ""
    try:
        return fill_url_template(client.oauth.issuer, client.variables)
    except OAuth2Error:
        return ""


def is_expected_issuer(client: OAuthClient, issuer: str, iss: str | None) -> bool:
    """Return whether the `iss` of an authorization response is right (RFC 9207 §2.4).

    `issuer` is the one that the attempt began with, and must match exactly. `iss` may be missing
    unless the provider's file says that the provider sends it.
    """
    if iss is None:
        return client.oauth.iss is not True
    if issuer:
        return iss == issuer
    # The file does not say which issuer it is, only which servers are the provider's. GitHub's issuer
    # has a path, and Microsoft's the tenant's id.
    urls = (client.oauth.authorize_url, client.oauth.token_url)
    origins = {_get_origin(fill_url_template(url, client.variables)) for url in urls if url}
    return _get_origin(iss) in origins


def _get_origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
