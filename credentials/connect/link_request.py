"""What a company may wish of a connect link, checked: by which kind, with which app, for which credential."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from common.errors import Invalid
from credentials.connect import settings
from credentials.connect.flow_request import (
    app_of,
    check_identifiable,
    check_return,
    connects_by_oauth,
    given_properties,
    oauth_kind,
    provider_of,
    scopes_of,
)
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import registry

SHORTEST, USUAL, LONGEST = 60, 3600, 7 * 24 * 3600
"""How many seconds a link lasts; a company that mails it needs days, one that redirects to it minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a link is to bring. None and "": not said."""

    oauth_app_id: uuid.UUID | None = None
    kind: str | None = None
    name: str = ""
    owner_email: str = ""
    external_id: str = ""
    metadata: dict[str, Any] | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    scopes: list[str] | None = None
    return_to: str = ""
    expires_in: int = USUAL
    credential_id: uuid.UUID | None = None


def columns_of(account_id: uuid.UUID, wish: Wish) -> dict[str, Any]:
    """What a link for `wish` holds, by column. Raises Invalid naming what cannot be."""
    again = _reconnected(account_id, wish)
    known = registry().kind(wish.kind or (again.kind if again else ""))
    app_id = wish.oauth_app_id
    if app_id is None and again is not None and known is not None and known.needs_app:
        app_id = again.oauth_app_id
    app = app_of(account_id, app_id) if app_id else None
    kind = _kind(app, wish.kind or (again.kind if again else None))
    external_id = wish.external_id or (again.external_id if again else "")
    if again is not None:
        _check_reconnectable(again, kind, app, external_id)
    if kind.needs_app:
        check_identifiable(kind, external_id)
    if wish.return_to:
        allowed = settings.return_addresses(account_id, app)
        check_return(wish.return_to, allowed, field="return_to")
    return {
        "oauth_app": app,
        "kind": kind.name,
        "name": wish.name,
        "owner_email": wish.owner_email,
        "external_id": external_id,
        "metadata": wish.metadata,
        "properties": given_properties(kind, wish.properties),
        "scopes": scopes_of(app, wish.scopes) if app else _no_scopes(wish),
        "return_to": wish.return_to,
        "reconnects": again.id if again else None,
    }


def _reconnected(account_id: uuid.UUID, wish: Wish) -> Credential | None:
    if wish.credential_id is None:
        return None
    rows = Credential.objects.filter(account_id=account_id, id=wish.credential_id)
    row = rows.defer("secrets", "fingerprints").first()
    if row is None:
        raise Invalid.of("credential_id", "there is no such credential")
    return row


def _check_reconnectable(
    row: Credential, kind: Kind, app: OAuthApp | None, external_id: str
) -> None:
    if row.kind != kind.name:
        raise Invalid.of("kind", f"the credential's is {row.kind}")
    if kind.needs_app and (app is None or row.oauth_app_id != app.id):
        raise Invalid.of("oauth_app_id", "is not the credential's: a grant belongs to its app")
    if external_id != row.external_id:
        raise Invalid.of("external_id", "is not the credential's")
    if not row.external_id and (not kind.identity or kind.identity_with_secret):
        raise Invalid.of(
            "credential_id", "nothing but its secret says which upstream account it is for"
        )


def _kind(app: OAuthApp | None, name: str | None) -> Kind:
    """The kind that the link brings: by OAuth where an app says so, else by a form."""
    kind = registry().kind(name) if name else None
    if app is not None and (kind is None or kind.needs_app):
        return oauth_kind(app, name)
    if name is None:
        raise Invalid.of("kind", "is required without oauth_app_id")
    if kind is None:
        raise Invalid.of("kind", "unknown; GET /v1/providers lists the known ones")
    if kind.needs_app:
        by_oauth = connects_by_oauth(provider_of(kind.provider), kind)
        reason = "is required" if by_oauth else "no page connects this kind; import it"
        raise Invalid.of("oauth_app_id" if by_oauth else "kind", reason)
    if app is not None:
        raise Invalid.of("oauth_app_id", f"{kind.name} is typed into a form and has no app")
    if kind.mechanism not in {"key", "password"} or kind.provider == "custom":
        raise Invalid.of("kind", "no page connects this kind; import it")
    return kind


def _no_scopes(wish: Wish) -> list[str]:
    if wish.scopes is not None:
        raise Invalid.of("scopes", "only a link with an OAuth app asks for scopes")
    return []
