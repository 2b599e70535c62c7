"""Validation of an OAuth app's fields, in addition to their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from common.errors import InvalidInputError
from common.pem import normalize_private_key
from common.secret_text import clean_secret, find_control_error, is_placeholder
from common.text import escape_name
from egress.policy import allowed_targets
from egress.urls import parse_url
from providers.kinds import AuthorizeOption, Provider
from providers.properties import MASK, resolve_url_variables
from providers.registry import get_registry

MAX_PARAM_LENGTH: Final = 1024


def check_provider(slug: str) -> None:
    if slug == "custom" or slug not in get_registry().providers:
        raise InvalidInputError.for_field(
            "provider", "is unknown; GET /v1/providers lists the supported ones"
        )


def check_config(provider: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the per-customer variables of the provider's file, with its defaults.

    The address of a customer's own server must be one that requests may go to.
    """
    definition = _get_provider(provider)
    values = resolve_url_variables(definition, config)
    for name in config:
        if definition.variables[name].place == "origin":
            parse_url(values[name], field=f"config.{name}", allowed=allowed_targets())
    return values


def find_origins(provider: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `config` that are addresses of a customer's own server."""
    definition = get_registry().get_provider(provider)
    variables = definition.variables if definition else {}
    return {
        name: value
        for name, value in config.items()
        if name in variables and variables[name].place == "origin"
    }


def check_authorize_params(provider: str, params: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of authorization requests that an app sets, all allowed by the file."""
    options: dict[str, AuthorizeOption] = {}
    for oauth in _get_provider(provider).list_oauth():
        options |= oauth.authorize_options
    errors = {
        f"authorize_params.{escape_name(name)}": [error]
        for name, value in params.items()
        if (error := _find_option_error(options, name, value))
    }
    if errors:
        raise InvalidInputError.for_fields(errors)
    return params


def _find_option_error(
    options: Mapping[str, AuthorizeOption], name: str, value: object
) -> str | None:
    option = options.get(name)
    if option is None:
        allowed = ", ".join(sorted(options)) or "none"
        return f"is not a parameter that this provider's file allows: {allowed}"
    if not isinstance(value, str):
        return "must be a string"
    if option.values and value not in option.values:
        return f"must be one of {', '.join(option.values)}"
    if option.pattern and (
        len(value) > MAX_PARAM_LENGTH or not re.fullmatch(option.pattern[1:-1], value, re.ASCII)
    ):
        return f"must match {option.pattern}"
    return None


def _get_provider(slug: str) -> Provider:
    provider = get_registry().get_provider(slug)
    if provider is None:
        raise InvalidInputError.for_field("provider", "is no longer supported by this server")
    return provider


def clean_client_id(client_id: str) -> str:
    """Return the id without what a paste adds at its ends."""
    return clean_secret(client_id).value


def clean_client_secret(provider: str, secret: str, *, replaces: bool = False) -> str:
    """Return the secret as it is stored: without what surrounds it, a private key as canonical PEM.

    Raises InvalidInputError for the mask, a private key that cannot be read, inner control characters,
    and, if it `replaces` another secret, for a placeholder such as `null`.
    """
    value = clean_secret(secret).value
    if error := _find_secret_error(value, replaces=replaces):
        raise InvalidInputError.for_field("client_secret", error)
    # GitHub's app has a private key for its installations, and a secret for its users.
    if not signs_requests(provider) or (
        _takes_secrets(provider) and "PRIVATE KEY-----" not in value
    ):
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
    """Return True if apps of the provider have a private key, in place of a secret or in addition."""
    definition = get_registry().get_provider(provider)
    if definition is None:
        return False
    methods = {oauth.client_auth for oauth in definition.list_oauth()}
    grants = {kind.grant for kind in definition.kinds.values() if kind.needs_app}
    return "private_key_jwt" in methods or "github_installation" in grants


def _takes_secrets(provider: str) -> bool:
    methods = {oauth.client_auth for oauth in _get_provider(provider).list_oauth()}
    return bool(methods & {"client_secret_post", "client_secret_basic"})


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
