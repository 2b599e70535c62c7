"""What a company may wish of a connect link, checked: by which kind, with which app, for which credential."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from common.errors import InvalidInputError
from credentials.connect import settings
from credentials.connect.flow_request import (
    connects_by_oauth,
    get_oauth_app,
    get_provider,
    require_account_identity,
    resolve_oauth_kind,
    resolve_scopes,
    validate_flow_properties,
    validate_return_url,
)
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import get_registry

MIN_LINK_SECONDS, DEFAULT_LINK_SECONDS, MAX_LINK_SECONDS = 60, 3600, 7 * 24 * 3600
"""How many seconds a link lasts; a company that mails it needs days, one that redirects to it minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
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
    expires_in: int = DEFAULT_LINK_SECONDS
    credential_id: uuid.UUID | None = None


def validate_link_request(account_id: uuid.UUID, wish: LinkRequest) -> dict[str, Any]:
    """What a link for `wish` holds, by column. Raises Invalid naming what cannot be."""
    again = _reconnected(account_id, wish)
    known = get_registry().get_kind(wish.kind or (again.kind if again else ""))
    app_id = wish.oauth_app_id
    if app_id is None and again is not None and known is not None and known.needs_app:
        app_id = again.oauth_app_id
    app = get_oauth_app(account_id, app_id) if app_id else None
    kind = _kind(app, wish.kind or (again.kind if again else None))
    external_id = wish.external_id or (again.external_id if again else "")
    if again is not None:
        _check_reconnectable(again, kind, app, external_id)
    if kind.needs_app:
        require_account_identity(kind, external_id)
    if wish.return_to:
        allowed = settings.get_return_urls(account_id, app)
        validate_return_url(wish.return_to, allowed, field="return_to")
    return {
        "oauth_app": app,
        "kind": kind.name,
        "name": wish.name,
        "owner_email": wish.owner_email,
        "external_id": external_id,
        "metadata": wish.metadata,
        "properties": validate_flow_properties(kind, wish.properties),
        "scopes": resolve_scopes(app, wish.scopes) if app else _no_scopes(wish),
        "return_to": wish.return_to,
        "reconnects": again.id if again else None,
    }


def _reconnected(account_id: uuid.UUID, wish: LinkRequest) -> Credential | None:
    if wish.credential_id is None:
        return None
    rows = Credential.objects.filter(account_id=account_id, id=wish.credential_id)
    row = rows.defer("secrets", "fingerprints").first()
    if row is None:
        raise InvalidInputError.for_field("credential_id", "there is no such credential")
    return row


def _check_reconnectable(
    row: Credential, kind: Kind, app: OAuthApp | None, external_id: str
) -> None:
    if row.kind != kind.name:
        raise InvalidInputError.for_field("kind", f"the credential's is {row.kind}")
    if kind.needs_app and (app is None or row.oauth_app_id != app.id):
        raise InvalidInputError.for_field(
            "oauth_app_id", "is not the credential's: a grant belongs to its app"
        )
    if external_id != row.external_id:
        raise InvalidInputError.for_field("external_id", "is not the credential's")
    if not row.external_id and (not kind.identity or kind.identity_with_secret):
        raise InvalidInputError.for_field(
            "credential_id", "nothing but its secret says which upstream account it is for"
        )


def _kind(app: OAuthApp | None, name: str | None) -> Kind:
    """The kind that the link brings: by OAuth where an app says so, else by a form."""
    kind = get_registry().get_kind(name) if name else None
    if app is not None and (kind is None or kind.needs_app):
        return resolve_oauth_kind(app, name)
    if name is None:
        raise InvalidInputError.for_field("kind", "is required without oauth_app_id")
    if kind is None:
        raise InvalidInputError.for_field("kind", "unknown; GET /v1/providers lists the known ones")
    if kind.needs_app:
        by_oauth = connects_by_oauth(get_provider(kind.provider), kind)
        reason = "is required" if by_oauth else "no page connects this kind; import it"
        raise InvalidInputError.for_field("oauth_app_id" if by_oauth else "kind", reason)
    if app is not None:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"{kind.name} is typed into a form and has no app"
        )
    if kind.mechanism not in {"key", "password"} or kind.provider == "custom":
        raise InvalidInputError.for_field("kind", "no page connects this kind; import it")
    return kind


def _no_scopes(wish: LinkRequest) -> list[str]:
    if wish.scopes is not None:
        raise InvalidInputError.for_field("scopes", "only a link with an OAuth app asks for scopes")
    return []
