"""Validation of an OAuth app's fields, in addition to their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from common.errors import InvalidInputError
from common.pem import normalize_private_key
from common.secret_text import clean_secret, find_control_error, is_placeholder
from providers.properties import MASK, resolve_url_variables
from providers.registry import get_registry


def check_provider(slug: str) -> None:
    if slug == "custom" or slug not in get_registry().providers:
        raise InvalidInputError.for_field(
            "provider", "is unknown; GET /v1/providers lists the supported ones"
        )


def check_config(provider: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the per-customer variables of the provider's file, each one DNS label."""
    definition = get_registry().get_provider(provider)
    if definition is None:
        raise InvalidInputError.for_field("provider", "is no longer supported by this server")
    return resolve_url_variables(definition, config)


def clean_client_id(client_id: str) -> str:
    """Return the id without what a paste adds at its ends."""
    return clean_secret(client_id).value


def clean_client_secret(provider: str, secret: str, *, replaces: bool = False) -> str:
    """Return the secret as it is stored: without what surrounds it, a private key as canonical PEM.

    Raises InvalidInputError for the mask, a private key that cannot sign, inner control characters,
    and, if it `replaces` another secret, for a placeholder such as `null`.
    """
    value = clean_secret(secret).value
    if error := _find_secret_error(value, replaces=replaces):
        raise InvalidInputError.for_field("client_secret", error)
    if not signs_requests(provider):
        return value
    try:
        return normalize_private_key(value)
    except ValueError as error:
        raise InvalidInputError.for_field("client_secret", str(error)) from None


def describe_cleaning(fields: Mapping[str, Any]) -> list[str]:
    """Return a notice for each of `client_id` and `client_secret` that is stored in another form."""
    return [
        f"{name}: removed {' and '.join(removed)}"
        for name in ("client_id", "client_secret")
        if (removed := clean_secret(fields.get(name) or "").removed)
    ]


def _find_secret_error(value: str, *, replaces: bool) -> str | None:
    if set(value) == {MASK[0]}:
        return "is the mask, not the secret"
    if replaces and is_placeholder(value):
        return "is a placeholder, not a secret; the stored one stays"
    return find_control_error(value)


def signs_requests(provider: str) -> bool:
    """Return True if the apps of the provider have a private key instead of a secret."""
    definition = get_registry().get_provider(provider)
    if definition is None:
        return False
    if definition.oauth and definition.oauth.client_auth == "private_key_jwt":
        return True
    grants = {kind.grant for kind in definition.kinds.values() if kind.needs_app}
    return grants == {"github_installation"}


def check_redirect_uris(uris: list[str]) -> None:
    """Raise InvalidInputError unless each is an absolute https URI without a fragment.

    RFC 6749 §3.1.2; http is allowed for loopback hosts (RFC 8252 §7.3).
    """
    for uri in uris:
        if error := _find_redirect_uri_error(uri):
            raise InvalidInputError.for_field("redirect_uris", error)


def _find_redirect_uri_error(uri: str) -> str | None:
    if not uri.isascii() or "\\" in uri or " " in uri:
        return "must be plain ASCII without spaces or backslashes"
    try:
        parts = urlsplit(uri)
        is_port_valid = parts.port != 0
    except ValueError:
        return "must be a URI"
    if not parts.hostname or not is_port_valid or "@" in parts.netloc:
        return "must name a host, and no user"
    if parts.fragment or uri.endswith("#"):
        return "must not have a fragment"
    is_loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        return "must start with https:// (http:// is for loopback hosts only)"
    return None
