"""A provider's URLs with a customer's values in them. The file says the domain; nothing else can."""

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
    """The URL that `template` is for one credential, or for one OAuth app before there is one.

    `{name}` is the property in `shown` where the kind has it, else the variable in `config`. Both
    are checked again, as a row may be older than the rule, and the host is held to the template's
    own. Raises Invalid naming what is absent or not safe.
    """
    values = resolve_url_variables(provider, dict(config or {}))

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if kind and name in kind.schema["properties"]:
            return _property(kind, name, properties or {})
        if name not in values:
            raise InvalidInputError.for_field(f"config.{name}", "is required")
        return values[name]

    url = PLACEHOLDER.sub(value, template)
    _hold(url, template)
    return url


def _property(kind: Kind, name: str, shown: Mapping[str, Any]) -> str:
    value = shown.get(name)
    if value is None:
        raise InvalidInputError.for_field(f"properties.{name}", "is required")
    if fault := find_field_error(kind, name, value):
        raise InvalidInputError.for_field(f"properties.{name}", fault)
    if kind.schema["properties"][name].get("format") == "uri":
        return f"https://{get_host(value)}"
    return str(value)


def _hold(url: str, template: str) -> None:
    """The host must end as the template's does after its last variable, and be a host at all."""
    host = template.removeprefix("https://").partition("/")[0]
    origin = "/".join(url.split("/", 3)[:3])
    if find_origin_error(origin) or not get_host(url).endswith(host.rpartition("}")[2].lower()):
        raise InvalidInputError("The address does not lead to the provider.")
