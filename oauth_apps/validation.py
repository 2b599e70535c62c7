"""What an OAuth app's fields may hold, beyond their types."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from common.errors import InvalidInputError
from providers.properties import MASK, resolve_url_variables
from providers.registry import get_registry


def check_provider(slug: str) -> None:
    if slug == "custom" or slug not in get_registry().providers:
        raise InvalidInputError.for_field(
            "provider", "unknown; GET /v1/providers lists the known ones"
        )


def check_config(provider: str, config: dict[str, Any]) -> dict[str, str]:
    """The per-customer variables that the provider's file names; each one DNS label."""
    found = get_registry().get_provider(provider)
    if found is None:
        raise InvalidInputError.for_field("provider", "is no longer known to this server")
    return resolve_url_variables(found, config)


def check_secret(secret: str) -> None:
    if set(secret) == {MASK[0]}:
        raise InvalidInputError.for_field("client_secret", "is the mask, not the secret")


def check_redirect_uris(uris: list[str]) -> None:
    """Absolute https URIs without a fragment (RFC 6749 §3.1.2); http for loopback (RFC 8252 §7.3)."""
    for uri in uris:
        if fault := _redirect_fault(uri):
            raise InvalidInputError.for_field("redirect_uris", fault)


def _redirect_fault(uri: str) -> str | None:
    if not uri.isascii() or "\\" in uri or " " in uri:
        return "must be plain ASCII without spaces or backslashes"
    try:
        parts = urlsplit(uri)
        port_ok = parts.port != 0
    except ValueError:
        return "must be a URI"
    if not parts.hostname or not port_ok or "@" in parts.netloc:
        return "must name a host, and no user"
    if parts.fragment or uri.endswith("#"):
        return "must not have a fragment"
    loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        return "must start with https:// (http:// for a loopback host alone)"
    return None
