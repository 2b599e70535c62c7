"""Asking the provider whether a token is alive (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from egress.deadline import Limits
from oauth_apps.protocol.errors import ProtocolError, failure
from oauth_apps.protocol.responses import document_of
from oauth_apps.protocol.transport import post, with_secrets
from oauth_apps.protocol.types import Client
from oauth_apps.protocol.urls import fill
from vault.secret import Secret


def introspect(client: Client, *, token: Secret) -> Mapping[str, Any]:
    """The answer, whose `active` is a bool; False is the only statement about a dead token (§2.2).

    Everything else in it is as the provider sent it, and may name a person. Raises ProtocolError.
    """
    if client.oauth.introspection_url is None:
        raise ProtocolError("not_supported", "The provider has no introspection call.", sent=False)
    url = fill(client.oauth.introspection_url, client.variables)

    def ask(secret: Secret | None, limits: Limits) -> dict[str, Any]:
        fields = {"token": token.expose()}
        response = post(client, url, fields, secret=secret, limits=limits)
        return document_of(response)

    document = with_secrets(client, ask)
    if not isinstance(document.get("active"), bool):
        raise failure("unreadable_answer")
    return document
