"""URL templates: a provider's URLs with the values of a customer. The file alone decides the domain.

The one exception is an origin, the base URL of a customer's own server (`place: origin`). It comes
from the OAuth app's config, which the company writes, and never from a credential's properties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from common.errors import InvalidInputError
from providers.formats import find_host_error, get_host
from providers.kinds import Kind, Provider
from providers.properties import find_field_error, resolve_url_variables

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)
"""A variable in a template of a provider file. Its first group is the name."""

_AUTHORITY: Final = re.compile(r"(https?://)([^/?]*)", re.ASCII)


def get_first_variable(template: str) -> str | None:
    """Return the name of the variable with which the URL begins, None if it begins with https://."""
    match = PLACEHOLDER.match(template)
    return match[1] if match else None


def leads_to_host_of_template(url: str, template: str) -> bool:
    """Return whether a filled URL has the scheme, port and domain that its template has.

    `template` begins with a scheme. What follows the last variable of its host is the domain; if
    nothing follows, the check of that variable decides.
    """
    filled, expected = _AUTHORITY.match(url), _AUTHORITY.match(template)
    if filled is None or expected is None or filled[1] != expected[1]:
        return False
    if "{" not in expected[2]:
        return filled[2] == expected[2]
    ending = expected[2].rpartition("}")[2].lower()
    host = filled[2].partition(":")[0]
    return find_host_error(host) is None and filled[2].lower().endswith(ending)


def expand_url_template(
    template: str,
    *,
    provider: Provider,
    kind: Kind | None = None,
    properties: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> str:
    """Return the URL of `template` for one credential, or for an OAuth app without one.

    `{name}` is the property if the kind has it and the credential gives it, otherwise the variable
    in `config` or its default. Raises InvalidInputError naming the value that is missing or not safe.
    """
    # The values were validated when they were stored, but a row may be older than a rule.
    variables = resolve_url_variables(provider, dict(config or {}))

    def get_value(match: re.Match[str]) -> str:
        name = match[1]
        has_property = kind is not None and name in kind.schema["properties"]
        value = (properties or {}).get(name) if has_property else None
        if value is None:
            if name in variables:
                return variables[name]
            where = "properties" if has_property else "config"
            raise InvalidInputError.for_field(f"{where}.{name}", "is required")
        if kind is not None and (error := find_field_error(kind, name, value)):
            raise InvalidInputError.for_field(f"properties.{name}", error)
        if kind is not None and kind.schema["properties"][name].get("format") == "uri":
            return f"https://{get_host(value)}"
        return str(value)

    url = PLACEHOLDER.sub(get_value, template)
    first = get_first_variable(template)
    if first is None and not leads_to_host_of_template(url, template):
        raise InvalidInputError("The address does not lead to the provider.")
    return url
