"""A provider's URLs with a customer's values in them. The file says the domain; nothing else can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from common.errors import Invalid
from providers.formats import host_of, uri_fault
from providers.kinds import Kind, Provider
from providers.properties import field_fault, variables

_TEMPLATE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)


def expand(
    template: str,
    *,
    provider: Provider,
    kind: Kind | None = None,
    shown: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> str:
    """The URL that `template` is for one credential, or for one OAuth app before there is one.

    `{name}` is the property in `shown` where the kind has it, else the variable in `config`. Both
    are checked again, as a row may be older than the rule, and the host is held to the template's
    own. Raises Invalid naming what is absent or not safe.
    """
    values = variables(provider, dict(config or {}))

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if kind and name in kind.schema["properties"]:
            return _property(kind, name, shown or {})
        if name not in values:
            raise Invalid.of(f"config.{name}", "is required")
        return values[name]

    url = _TEMPLATE.sub(value, template)
    _hold(url, template)
    return url


def _property(kind: Kind, name: str, shown: Mapping[str, Any]) -> str:
    value = shown.get(name)
    if value is None:
        raise Invalid.of(f"properties.{name}", "is required")
    if fault := field_fault(kind, name, value):
        raise Invalid.of(f"properties.{name}", fault)
    if kind.schema["properties"][name].get("format") == "uri":
        return f"https://{host_of(value)}"
    return str(value)


def _hold(url: str, template: str) -> None:
    """The host must end as the template's does after its last variable, and be a host at all."""
    host = template.removeprefix("https://").partition("/")[0]
    origin = "/".join(url.split("/", 3)[:3])
    if uri_fault(origin) or not host_of(url).endswith(host.rpartition("}")[2].lower()):
        raise Invalid("The address does not lead to the provider.")
