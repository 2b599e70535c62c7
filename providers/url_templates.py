"""URL templates: a provider's URLs with the values of a customer. The file alone decides the domain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from common.errors import InvalidInputError
from providers.formats import find_origin_error, get_host
from providers.kinds import Kind, Provider
from providers.properties import find_field_error, resolve_url_variables

PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)
"""A variable in a template of a provider file. Its first group is the name."""


def expand_url_template(
    template: str,
    *,
    provider: Provider,
    kind: Kind | None = None,
    properties: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> str:
    """Return the URL of `template` for one credential, or for an OAuth app without one.

    `{name}` is the property if the kind has it, otherwise the variable in `config`. Raises
    InvalidInputError naming the value that is missing or not safe.
    """
    # The values were validated when they were stored, but a row may be older than a rule.
    variables = resolve_url_variables(provider, dict(config or {}))

    def get_value(match: re.Match[str]) -> str:
        name = match[1]
        if kind is None or name not in kind.schema["properties"]:
            if name not in variables:
                raise InvalidInputError.for_field(f"config.{name}", "is required")
            return variables[name]
        value = (properties or {}).get(name)
        if value is None:
            raise InvalidInputError.for_field(f"properties.{name}", "is required")
        if error := find_field_error(kind, name, value):
            raise InvalidInputError.for_field(f"properties.{name}", error)
        if kind.schema["properties"][name].get("format") == "uri":
            return f"https://{get_host(value)}"
        return str(value)

    url = PLACEHOLDER.sub(get_value, template)
    # The host must end as the template's does behind its last variable, and be a valid host.
    ending = template.removeprefix("https://").partition("/")[0].rpartition("}")[2].lower()
    if find_origin_error("/".join(url.split("/", 3)[:3])) or not get_host(url).endswith(ending):
        raise InvalidInputError("The address does not lead to the provider.")
    return url
