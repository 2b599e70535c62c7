"""The provider's URLs, filled with the variables of an app or credential."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from oauth_apps.protocol.errors import AppError
from providers.formats import (
    find_base_url_error,
    find_dns_label_error,
    find_host_error,
    find_path_segment_error,
)
from providers.url_templates import (
    PLACEHOLDER,
    leads_to_host_of_template,
)

_AUTHORITY: Final = re.compile(r"https?://[^/?]*", re.ASCII)


def fill_url_template(template: str, variables: Mapping[str, str]) -> str:
    """Return `template` with its `{variables}`: labels or names in the host, segments in the path.

    A template that begins with a variable and goes on has the base URL of the customer's own server
    there. Raises AppError naming the variable that is missing or not valid.
    """
    authority = _AUTHORITY.match(template)
    host_end = authority.end() if authority else 0

    # The values were validated when they were stored. They are validated again, because a value
    # must never choose where a secret is sent.
    def get_value(match: re.Match[str]) -> str:
        name, in_host = match[1], match.end() <= host_end
        value = variables.get(name)
        if value is None:
            raise _build_config_error(name, "is not set")
        # A URL that begins with a variable has the address of the customer's own server there.
        if match.start() == 0 and match.end() < len(template):
            if find_base_url_error(value):
                raise _build_config_error(name, "is not the address of a server")
            return value.rstrip("/")
        if in_host and find_dns_label_error(value) and find_host_error(value):
            raise _build_config_error(name, "is not part of a host name")
        if not in_host and find_path_segment_error(value):
            raise _build_config_error(name, "is not one segment of a path")
        return value.lower() if in_host else value

    url = PLACEHOLDER.sub(get_value, template)
    if authority and "{" in authority[0] and not leads_to_host_of_template(url, template):
        raise AppError("invalid_config", "The address does not lead to the provider.", sent=False)
    return url


def _build_config_error(name: str, reason: str) -> AppError:
    return AppError("invalid_config", f"The value of {name} {reason}.", sent=False)
