"""Token introspection (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from egress import Timeouts
from oauth_apps.protocol.errors import OAuth2Error, build_error
from oauth_apps.protocol.responses import parse_document
from oauth_apps.protocol.transport import post_request, try_secrets
from oauth_apps.protocol.types import OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from vault.secret import Secret


def introspect_token(client: OAuthClient, *, token: Secret) -> Mapping[str, Any]:
    """Return the response, whose `active` is a bool; False is all it says about a dead token (§2.2).

    Its other members are as the provider sent them, and may name a person. Raises OAuth2Error.
    """
    if client.oauth.introspection_url is None:
        raise OAuth2Error("not_supported", "The provider has no introspection call.", sent=False)
    url = fill_url_template(client.oauth.introspection_url, client.variables)

    def post_with_secret(secret: Secret | None, timeouts: Timeouts) -> dict[str, Any]:
        fields = {"token": token.expose()}
        return parse_document(post_request(client, url, fields, secret=secret, timeouts=timeouts))

    document = try_secrets(client, post_with_secret)
    if not isinstance(document.get("active"), bool):
        raise build_error("unreadable_answer")
    return document
