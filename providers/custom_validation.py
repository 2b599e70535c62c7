"""What a custom service may be: the rules that keep an account's key on the host it was given for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from common import text
from common.errors import InvalidInputError
from providers.formats import find_host_error

AllowedTargets = frozenset[tuple[str, int]]

MAX_RATE: Final = 1_000_000
MAX_BLOCKED: Final = 100

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_BASE_URL: Final = re.compile(
    r"https://([A-Za-z0-9.-]+)(?::443)?((?:/[A-Za-z0-9._~-]+)*)/?", re.ASCII
)
_OPENED: Final = re.compile(
    r"https?://([A-Za-z0-9.-]+):([1-9][0-9]{0,4})((?:/[A-Za-z0-9._~-]+)*)/?", re.ASCII
)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_PREFIX: Final = re.compile(r"[ -~]{0,32}", re.ASCII)
_BLOCKED: Final = re.compile(r"(?:\*|[A-Z]{1,16}) /[!-~]{0,255}", re.ASCII)

# They say where a request goes and where it ends: an account that could name one of them could
# smuggle a second request or reach another host.
_RESERVED: Final = {
    *("connection", "content-length", "content-type", "cookie", "expect", "host", "keep-alive"),
    *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
}


def validate_custom_provider(
    *, opened: AllowedTargets = frozenset(), **given: Any
) -> dict[str, Any]:
    """The fields of a custom provider as they are stored, or Invalid with all faults at once.

    `opened` are targets (host, port) that `base_url` may name although they are not public.
    """
    if _is_opened(given.get("base_url"), opened):
        stored = validate_custom_provider(
            **{name: value for name, value in given.items() if name != "base_url"}
        )
        return {**stored, "base_url": given["base_url"].rstrip("/")}
    faults = {name: [fault] for name, value in given.items() if (fault := _FAULTS[name](value))}
    if faults:
        raise InvalidInputError.for_fields(faults)
    stored = dict(given)
    if "base_url" in given:
        stored["base_url"] = _canonical_url(given["base_url"])
    if "blocked_endpoints" in given:
        stored["blocked_endpoints"] = list(given["blocked_endpoints"])
    return stored


def _name_fault(value: Any) -> str | None:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return None
    return "must start with a letter or digit, then a-z, 0-9, _ and -, at most 63"


def _base_url_fault(value: Any) -> str | None:
    found = _BASE_URL.fullmatch(value) if isinstance(value, str) and len(value) <= 200 else None
    if found is None or {".", ".."} & set(found[2].split("/")):
        return "must be an https URL without user, port, query or fragment, at most 200 characters"
    return find_host_error(found[1])


def _is_opened(value: Any, opened: AllowedTargets) -> bool:
    found = _OPENED.fullmatch(value) if isinstance(value, str) and len(value) <= 200 else None
    if found is None or {".", ".."} & set(found[3].split("/")):
        return False
    return (found[1].lower(), int(found[2])) in opened


def _canonical_url(value: str) -> str:
    found = _BASE_URL.fullmatch(value)
    assert found is not None  # noqa: S101  `_base_url_fault` has matched it
    return f"https://{found[1].lower()}{found[2]}"


def _header_fault(value: Any) -> str | None:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        return "must be a header's name: letters, digits and hyphens"
    return "is a header that is not the caller's to set" if value.lower() in _RESERVED else None


def _prefix_fault(value: Any) -> str | None:
    if isinstance(value, str) and _PREFIX.fullmatch(value):
        return None
    return "must be at most 32 printable ASCII characters"


def _blocked_fault(value: Any) -> str | None:
    if not isinstance(value, list | tuple) or len(value) > MAX_BLOCKED:
        return f"must be an array of at most {MAX_BLOCKED} strings"
    for item in value:
        if (
            not isinstance(item, str)
            or text.find_encoding_error(item)
            or not _BLOCKED.fullmatch(item)
        ):
            return "must hold METHOD /path strings, such as DELETE /v1/*"
    return None


def _rate_fault(value: Any) -> str | None:
    if type(value) is int and 0 <= value <= MAX_RATE:
        return None
    return f"must be an integer from 0 to {MAX_RATE}"


_FAULTS: Final[dict[str, Callable[[Any], str | None]]] = {
    "name": _name_fault,
    "base_url": _base_url_fault,
    "auth_header": _header_fault,
    "prefix": _prefix_fault,
    "blocked_endpoints": _blocked_fault,
    "rate_limit": _rate_fault,
}
