"""Validation of an OAuth app's fields, in addition to their types."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from common.errors import InvalidInputError
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


def check_secret(secret: str) -> None:
    if set(secret) == {MASK[0]}:
        raise InvalidInputError.for_field("client_secret", "is the mask, not the secret")


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
