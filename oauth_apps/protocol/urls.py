"""The provider's URLs with the app's and the credential's values in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from oauth_apps.protocol.errors import AppError
from providers.formats import (
    find_dns_label_error,
    find_host_error,
    find_origin_error,
    find_path_segment_error,
    get_host,
)

_VARIABLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)
_AUTHORITY: Final = re.compile(r"https?://([^/?]*)", re.ASCII)


def fill_url_template(template: str, variables: Mapping[str, str]) -> str:
    """`template` with its `{variables}`: labels or host names in the host, one segment in the path.

    The values were checked when they were stored; they are checked again here, and the host is
    held to the template's own end: a value never chooses where a secret is sent to. Raises
    AppError naming the variable.
    """
    found = _AUTHORITY.match(template)
    host_ends = found.end() if found else 0

    def value(found: re.Match[str]) -> str:
        return _value(found[1], variables, in_host=found.end() <= host_ends)

    url = _VARIABLE.sub(value, template)
    if found and "{" in found[1]:
        _hold(url, ending=found[1].rpartition("}")[2])
    return url


def _value(name: str, variables: Mapping[str, str], *, in_host: bool) -> str:
    value = variables.get(name)
    if value is None:
        raise _wrong(name, "is not set")
    if in_host and find_dns_label_error(value) and find_host_error(value):
        raise _wrong(name, "is not part of a host name")
    if not in_host and find_path_segment_error(value):
        raise _wrong(name, "is not one segment of a path")
    return value.lower() if in_host else value


def _hold(url: str, *, ending: str) -> None:
    if find_origin_error("/".join(url.split("/", 3)[:3])) or not get_host(url).endswith(
        ending.lower()
    ):
        raise AppError("invalid_config", "The address does not lead to the provider.", sent=False)


def _wrong(name: str, fault: str) -> AppError:
    return AppError("invalid_config", f"The value of {name} {fault}.", sent=False)
