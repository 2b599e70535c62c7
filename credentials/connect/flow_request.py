"""The parameters of one authorization flow, validated before the user is redirected anywhere."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from common.errors import InvalidInputError
from credentials.connect.errors import ConnectError
from credentials.connect.models import AuthorizationAttempt, ConnectLink
from oauth_apps.models import OAuthApp
from providers.kinds import Kind, Provider
from providers.properties import find_field_error
from providers.registry import get_registry

# RFC 6749 §3.3 allows visible ASCII except the double quote and the backslash.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}", re.ASCII)
MAX_SCOPES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """Parameters of one authorization flow. `properties` and `external_id` come from the company."""

    app: OAuthApp
    kind: Kind
    scopes: list[str]
    return_to: str = ""
    external_id: str = ""
    challenge: str = ""
    properties: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: AuthorizationAttempt | ConnectLink) -> Self:
        """Return the parameters that an attempt or a link was created with.

        Raises InvalidInputError if its kind is no longer known, ConnectError for a link without app.
        """
        if row.oauth_app is None:
            raise ConnectError("bad_request")
        return cls(
            app=row.oauth_app,
            kind=resolve_oauth_kind(row.oauth_app, row.kind),
            scopes=row.scopes,
            return_to=row.return_to,
            external_id=row.external_id,
            challenge=row.challenge if isinstance(row, AuthorizationAttempt) else "",
            properties=row.properties,
        )


def get_oauth_app(account_id: uuid.UUID, id: uuid.UUID, *, field: str = "oauth_app_id") -> OAuthApp:
    """Return the account's app. Raises InvalidInputError, also for another account's app."""
    app = OAuthApp.objects.filter(account_id=account_id, id=id).first()
    if app is None:
        raise InvalidInputError.for_field(field, "there is no such OAuth app")
    return app


def get_provider(slug: str) -> Provider:
    """Return the provider. Raises InvalidInputError if its file was removed."""
    provider = get_registry().get_provider(slug)
    if provider is None:
        raise InvalidInputError.for_field("provider", "is no longer known to this server")
    return provider


def resolve_oauth_kind(app: OAuthApp, name: str | None, *, field: str = "kind") -> Kind:
    """Return the kind that a flow with `app` creates: the named one, or the only one.

    Raises InvalidInputError if the provider does not connect this kind by OAuth.
    """
    provider = get_provider(app.provider)
    kinds = [kind for kind in provider.kinds.values() if connects_by_oauth(provider, kind)]
    if name is None and len(kinds) == 1:
        return kinds[0]
    kind = get_registry().get_kind(name) if name is not None else None
    if kind is not None and kind in kinds:
        return kind
    names = ", ".join(kind.name for kind in kinds) or "none"
    raise InvalidInputError.for_field(
        field, f"must be a kind that {provider.name} connects by OAuth: {names}"
    )


def connects_by_oauth(provider: Provider, kind: Kind) -> bool:
    oauth = provider.get_oauth(kind)
    return bool(kind.mechanism == "oauth2" and oauth and oauth.authorize_url)


def resolve_scopes(
    app: OAuthApp, kind: Kind, requested: Sequence[str] | None, *, field: str = "scopes"
) -> list[str]:
    """Return the requested scopes, or if None the app's own, or the provider's default scopes.

    The scopes that the provider's file requires are always added. Raises InvalidInputError for a
    scope that the app does not list, and for none at a provider that rejects a request without.
    """
    oauth = get_provider(app.provider).get_oauth(kind)
    if oauth is None:
        return list(app.scopes)
    allowed = oauth.add_required_scopes(app.scopes or oauth.default_scopes)
    if requested is None:
        # Slack's scopes of the user are a parameter of their own, and one of the two is enough.
        has_other_scopes = any("scope" in name for name in app.authorize_params)
        if not allowed and oauth.scopes_required and not has_other_scopes:
            reason = f"are required by {app.provider}: set the scopes of the OAuth app"
            raise InvalidInputError.for_field(field, reason)
        return allowed
    if (
        not requested
        or len(requested) > MAX_SCOPES
        or not all(_SCOPE.fullmatch(scope) for scope in requested)
    ):
        raise InvalidInputError.for_field(
            field,
            f"must be 1 to {MAX_SCOPES} scopes of printable ASCII, without quotes or backslashes",
        )
    if len(set(requested)) != len(requested):
        raise InvalidInputError.for_field(field, "must not have the same scope twice")
    # An app's id is public, so the request must not get more access than the company wants.
    if set(requested) - set(allowed):
        raise InvalidInputError.for_field(
            field, "must only have scopes that are listed in the OAuth app"
        )
    return oauth.add_required_scopes(requested)


def validate_return_url(uri: str, allowed: Sequence[str], *, field: str) -> str:
    """Return `uri` if it is in the list. Raises InvalidInputError."""
    # Only an exact match is safe: no prefix, no pattern, no other port (RFC 9700 §2.1).
    if uri not in allowed:
        raise InvalidInputError.for_field(
            field, "is not one of the registered addresses; it must match exactly"
        )
    return uri


def require_account_identity(kind: Kind, external_id: str) -> None:
    """Raise InvalidInputError if nothing would say which upstream account was connected."""
    is_identified = kind.connect is not None or (not kind.rotates and not kind.identity)
    if not is_identified and not external_id:
        raise InvalidInputError.for_field(
            "external_id",
            f"is required for {kind.name}: the provider does not say which account it is",
        )


def validate_flow_properties(kind: Kind, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that the company sets beforehand, such as a subdomain.

    Raises InvalidInputError for a property that is no variable of the provider's URLs.
    """
    variables = set(get_provider(kind.provider).variables)
    # The flow itself finds out the other properties, so the caller must not set them.
    allowed = variables & set(kind.schema["properties"]) - {*kind.secret_fields, "kind", "name"}
    errors: dict[str, list[str]] = {}
    for name, value in properties.items():
        if name not in allowed:
            errors[f"properties.{name[:64]}"] = ["is unknown, or cannot be set beforehand"]
        elif error := find_field_error(kind, name, value):
            errors[f"properties.{name}"] = [error]
    if errors:
        raise InvalidInputError.for_fields(errors)
    return dict(properties)
