"""What a flow is to bring, checked before anybody is sent anywhere."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import InvalidInputError
from oauth_apps.models import OAuthApp
from providers.kinds import Kind, Provider
from providers.properties import find_field_error
from providers.registry import get_registry

# RFC 6749 §3.3: visible ASCII but for the quote and the backslash.
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}", re.ASCII)
MOST_SCOPES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """One way to the provider and back: `properties` and `external_id` are the company's words."""

    app: OAuthApp
    kind: Kind
    scopes: list[str]
    return_to: str = ""
    external_id: str = ""
    challenge: str = ""
    properties: dict[str, Any] = field(default_factory=dict)


def get_oauth_app(account_id: uuid.UUID, id: uuid.UUID, *, field: str = "oauth_app_id") -> OAuthApp:
    """The account's app. Raises Invalid: another account's is not there."""
    app = OAuthApp.objects.filter(account_id=account_id, id=id).first()
    if app is None:
        raise InvalidInputError.for_field(field, "there is no such OAuth app")
    return app


def get_provider(slug: str) -> Provider:
    provider = get_registry().get_provider(slug)
    if provider is None:
        raise InvalidInputError.for_field("provider", "is no longer known to this server")
    return provider


def resolve_oauth_kind(app: OAuthApp, name: str | None, *, field: str = "kind") -> Kind:
    """The kind that a flow with `app` makes: of this name, or the only one there is.

    Raises Invalid for a kind that no authorization brings.
    """
    provider = get_provider(app.provider)
    made = [kind for kind in provider.kinds.values() if connects_by_oauth(provider, kind)]
    if name is None and len(made) == 1:
        return made[0]
    named = get_registry().get_kind(name) if name is not None else None
    if named is not None and named in made:
        return named
    names = ", ".join(kind.name for kind in made) or "none"
    raise InvalidInputError.for_field(
        field, f"must be a kind that {provider.name} connects by OAuth: {names}"
    )


def connects_by_oauth(provider: Provider, kind: Kind) -> bool:
    return bool(kind.mechanism == "oauth2" and provider.oauth and provider.oauth.authorize_url)


def resolve_scopes(
    app: OAuthApp, wanted: Sequence[str] | None, *, field: str = "scopes"
) -> list[str]:
    """What is asked of the user: `wanted`, all of it the app's, else the app's or the provider's own.

    Raises Invalid: who can read an app's id must not be able to ask for more than the company does.
    """
    provider = get_provider(app.provider)
    own = list(app.scopes or (provider.oauth.default_scopes if provider.oauth else ()))
    if wanted is None:
        return own
    if not wanted or len(wanted) > MOST_SCOPES or not all(map(_SCOPE.fullmatch, wanted)):
        raise InvalidInputError.for_field(
            field, "must be scopes as RFC 6749 §3.3 has them, separated by spaces"
        )
    if len(set(wanted)) != len(wanted):
        raise InvalidInputError.for_field(field, "must not have the same scope twice")
    if set(wanted) - set(own):
        raise InvalidInputError.for_field(
            field, "asks for a scope that the OAuth app does not list in its scopes"
        )
    return list(wanted)


def validate_return_url(uri: str, allowed: Sequence[str], *, field: str) -> str:
    """`uri`, if the list has exactly it (RFC 9700 §2.1): no prefix, no pattern, no other port."""
    if uri not in allowed:
        raise InvalidInputError.for_field(
            field, "is not among the addresses that are registered for this"
        )
    return uri


def require_account_identity(kind: Kind, external_id: str) -> None:
    """Raise Invalid where nothing would say which upstream account was connected."""
    by_itself = kind.connect is not None or (not kind.rotates and not kind.identity)
    if not by_itself and not external_id:
        raise InvalidInputError.for_field(
            "external_id",
            f"is required for {kind.name}: nothing that was found tells which account it is",
        )


def validate_flow_properties(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the provider's addresses that differ per customer, as the company names them.

    Raises Invalid for anything else: what the flow is to find out is not the caller's to say.
    """
    provider = get_provider(kind.provider)
    known = set(kind.schema["properties"]) - set(kind.secret_fields) - {"kind", "name"}
    faults: dict[str, list[str]] = {}
    for name, value in given.items():
        if name not in known & set(provider.variables):
            faults[f"properties.{name[:64]}"] = ["is not said beforehand, or is unknown"]
        elif fault := find_field_error(kind, name, value):
            faults[f"properties.{name}"] = [fault]
    if faults:
        raise InvalidInputError.for_fields(faults)
    return dict(given)
