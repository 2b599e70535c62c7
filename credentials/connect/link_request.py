"""The parameters of a connect link, and their validation."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import InvalidInputError
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
from credentials.connect.settings import get_return_urls
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import get_registry

# A link that is mailed must last for days, one that a page redirects to for minutes.
MIN_LINK_SECONDS: Final = 60
DEFAULT_LINK_SECONDS: Final = 3600
MAX_LINK_SECONDS: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """Parameters of a connect link. None and "" mean that the company left the parameter out."""

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


def validate_link_request(account_id: uuid.UUID, link_request: LinkRequest) -> dict[str, Any]:
    """Return the columns of the link. Raises InvalidInputError that names the wrong parameter."""
    credential = None
    if link_request.credential_id is not None:
        rows = Credential.objects.filter(account_id=account_id, id=link_request.credential_id)
        credential = rows.defer("secrets", "fingerprints").first()
        if credential is None:
            raise InvalidInputError.for_field("credential_id", "there is no such credential")
    kind_name = link_request.kind or (credential.kind if credential else None)
    external_id = link_request.external_id or (credential.external_id if credential else "")
    app_id = link_request.oauth_app_id
    if app_id is None and credential is not None:
        known_kind = get_registry().get_kind(kind_name or "")
        app_id = credential.oauth_app_id if known_kind and known_kind.needs_app else None
    app = get_oauth_app(account_id, app_id) if app_id else None
    kind = _resolve_kind(app, kind_name)
    if credential is not None:
        _check_can_reconnect(credential, kind, app, external_id)
    if kind.needs_app:
        require_account_identity(kind, external_id)
    if link_request.return_to:
        allowed = get_return_urls(account_id, app)
        validate_return_url(link_request.return_to, allowed, field="return_to")
    if app is None and link_request.scopes is not None:
        raise InvalidInputError.for_field("scopes", "can only be set with an OAuth app")
    return {
        "oauth_app": app,
        "kind": kind.name,
        "name": link_request.name,
        "owner_email": link_request.owner_email,
        "external_id": external_id,
        "metadata": link_request.metadata,
        "properties": validate_flow_properties(kind, link_request.properties),
        "scopes": resolve_scopes(app, kind, link_request.scopes) if app else [],
        "return_to": link_request.return_to,
        "reconnects": credential.id if credential else None,
    }


def _check_can_reconnect(
    credential: Credential, kind: Kind, app: OAuthApp | None, external_id: str
) -> None:
    if credential.kind != kind.name:
        raise InvalidInputError.for_field("kind", f"the credential's is {credential.kind}")
    if kind.needs_app and (app is None or credential.oauth_app_id != app.id):
        raise InvalidInputError.for_field(
            "oauth_app_id", "is not the credential's; a grant belongs to the app that obtained it"
        )
    if external_id != credential.external_id:
        raise InvalidInputError.for_field("external_id", "is not the credential's")
    # With a new secret, nothing would be left to compare the two accounts by.
    if not credential.external_id and (not kind.identity or kind.identity_with_secret):
        raise InvalidInputError.for_field(
            "credential_id", "only its secret says which upstream account it is for"
        )


def _resolve_kind(app: OAuthApp | None, name: str | None) -> Kind:
    """Return the kind that the link connects: by OAuth with an app, otherwise by a form."""
    kind = get_registry().get_kind(name) if name else None
    if app is not None and (kind is None or kind.needs_app):
        return resolve_oauth_kind(app, name)
    if name is None:
        raise InvalidInputError.for_field("kind", "is required without oauth_app_id")
    if kind is None:
        raise InvalidInputError.for_field("kind", "unknown; GET /v1/providers lists the known ones")
    if kind.needs_app and connects_by_oauth(get_provider(kind.provider), kind):
        raise InvalidInputError.for_field("oauth_app_id", "is required")
    if app is not None:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"{kind.name} is entered in a form and has no app"
        )
    if kind.needs_app or kind.mechanism not in {"key", "password"} or kind.provider == "custom":
        raise InvalidInputError.for_field("kind", "cannot be connected on a page; import it")
    return kind
