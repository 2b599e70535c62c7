"""Validation of custom providers: an account's key must only go to the host it was given for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from common import text
from common.errors import InvalidInputError
from providers.formats import find_host_error

AllowedTargets = frozenset[tuple[str, int]]

MAX_RATE: Final = 1_000_000
MAX_BLOCKED: Final = 100

_BASE_URL: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?((?:/[A-Za-z0-9._~-]+)*)/?", re.ASCII
)
_ALLOWED_BASE_URL: Final = re.compile(
    r"https?://([A-Za-z0-9.-]+):([1-9][0-9]{0,4})((?:/[A-Za-z0-9._~-]+)*)/?", re.ASCII
)
_BLOCKED_ENDPOINT: Final = re.compile(r"(?:\*|[A-Z]{1,16}) /[!-~]{0,255}", re.ASCII)
_TEXT_FIELDS: Final = {
    "name": (
        re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII),
        "must start with a letter or digit, then a-z, 0-9, _ and -, at most 63",
    ),
    "auth_header": (
        re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII),
        "must be a header's name: letters, digits and hyphens",
    ),
    "prefix": (
        re.compile(r"[ -~]{0,32}", re.ASCII),
        "must be at most 32 printable ASCII characters",
    ),
}

# These headers decide to which host a request goes and how its end is found. An account that could set one could
# smuggle a second request, or reach another host.
_RESERVED_HEADERS: Final = {
    *("connection", "content-length", "content-type", "cookie", "expect", "host", "keep-alive"),
    *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
}


def validate_custom_provider(
    fields: Mapping[str, Any], *, allowed_targets: AllowedTargets = frozenset()
) -> dict[str, Any]:
    """Return the fields of a custom provider as they are stored.

    `allowed_targets` are pairs of host and port that `base_url` may name although they are not
    public. Raises InvalidInputError with all errors at once.
    """
    values, errors = dict(fields), {}
    for name, value in fields.items():
        if name == "base_url" and _is_allowed_target(value, allowed_targets):
            values[name] = value.rstrip("/")
        elif error := _find_error(name, value):
            errors[name] = [error]
        elif name == "base_url" and (match := _BASE_URL.fullmatch(value)):
            values[name] = f"https://{match[1].lower()}{match[2]}"
        elif name == "blocked_endpoints":
            values[name] = list(value)
    if errors:
        raise InvalidInputError.for_fields(errors)
    return values


def _find_error(name: str, value: object) -> str | None:
    if name == "base_url":
        match = _BASE_URL.fullmatch(value) if isinstance(value, str) and len(value) <= 200 else None
        if match is None or {".", ".."} & set(match[2].split("/")):
            return (
                "must be an https URL without user, port, query or fragment, at most 200 characters"
            )
        return find_host_error(match[1])
    if name == "blocked_endpoints":
        return _find_blocked_endpoints_error(value)
    if name == "rate_limit":
        if type(value) is int and 0 <= value <= MAX_RATE:
            return None
        return f"must be an integer from 0 to {MAX_RATE}"
    pattern, reason = _TEXT_FIELDS[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        return reason
    if name == "auth_header" and value.lower() in _RESERVED_HEADERS:
        return "is a header that is not the caller's to set"
    return None


def _find_blocked_endpoints_error(value: object) -> str | None:
    if not isinstance(value, list | tuple) or len(value) > MAX_BLOCKED:
        return f"must be an array of at most {MAX_BLOCKED} strings"
    for item in value:
        is_text = isinstance(item, str) and not text.find_encoding_error(item)
        if not is_text or not _BLOCKED_ENDPOINT.fullmatch(item):
            return "must contain METHOD /path strings, such as DELETE /v1/*"
    return None


def _is_allowed_target(value: object, allowed_targets: AllowedTargets) -> bool:
    is_short = isinstance(value, str) and len(value) <= 200
    match = _ALLOWED_BASE_URL.fullmatch(str(value)) if is_short else None
    if match is None or {".", ".."} & set(match[3].split("/")):
        return False
    return (match[1].lower(), int(match[2])) in allowed_targets
