"""The strict check of a credential's properties, and what follows from them.

A kind's schema is compiled once into one function per field: an import of 100,000 lines spends its
time elsewhere. What this accepts, the schema accepts: `tests/providers` holds them to it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from common import text
from common.errors import InvalidInputError
from providers import formats
from providers.field_checks import FieldCheck, build_choice_check, build_field_check
from providers.kinds import IdentityPart, Kind, Provider, Variable

MASK: Final = "**********"
"""What stands where a secret is: fixed in length, so that it says nothing of it."""


@dataclass(frozen=True, slots=True)
class _Plan:
    aliases: Mapping[str, str]
    checks: Mapping[str, FieldCheck]
    secret: frozenset[str]
    required: tuple[str, ...]


def validate_properties(
    kind: Kind, properties: Any, *, partial: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """What to show and what to seal of `properties`, or Invalid with all faults at once.

    Shown keeps the given order, with aliases under their real names, labels in NFC and secrets as
    MASK. Secrets are kept byte for byte. Nothing is coerced, and no value is in a fault. `partial`
    lets required secrets be left out: an import of a known account keeps those that it does not send.
    """
    if not isinstance(properties, dict):
        raise InvalidInputError.for_field("properties", "must be an object")
    plan = _plan(kind)
    shown: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    faults: dict[str, list[str]] = {}
    seen: set[str] = set()
    for given, value in properties.items():
        name = plan.aliases.get(given, given)
        if fault := _fault(plan, seen, given, name, value):
            faults[_path(given)] = [fault]
        elif name in plan.secret:
            secrets[name] = value
            shown[name] = MASK
        else:
            shown[name] = kind.name if name == "kind" else _normal(value)
        seen.add(name)
    for name in plan.required:
        if name not in seen and not (partial and name in plan.secret):
            faults[f"properties.{name}"] = ["is required"]
    if faults:
        raise InvalidInputError.for_fields(faults)
    return shown, secrets


def find_field_error(kind: Kind, name: str, value: Any) -> str | None:
    """Why `value` is no value of this one property, or None."""
    return _plan(kind).checks[name](value)


def get_identity_values(kind: Kind, shown: Mapping[str, Any]) -> list[str] | None:
    """The canonical values that say which upstream account this is, or None if one is absent.

    None also where the kind names no such field. Where `kind.identity_with_secret`, these alone are
    not enough: the caller adds the secrets.
    """
    found = [_canonical(part, shown.get(part.field)) for part in kind.identity]
    values = [value for value in found if value]
    return values if values and len(values) == len(found) else None


def resolve_url_variables(provider: Provider, config: Any) -> dict[str, str]:
    """The URL variables of `provider` that `config` gives, in lower case, with their defaults.

    Raises Invalid for a name that the provider does not have and for a value that is not one DNS
    label (or path segment): a URL made of these has the host that the provider's file says.
    Variables without a default may be absent; a URL that needs one cannot be built then.
    """
    if not isinstance(config, dict):
        raise InvalidInputError.for_field("config", "must be an object")
    known = provider.variables
    faults = {
        f"config.{_key(name)}": [fault]
        for name, value in config.items()
        if (fault := _variable_fault(known.get(name), value))
    }
    if faults:
        raise InvalidInputError.for_fields(faults)
    defaults = {name: item.default for name, item in known.items() if item.default is not None}
    return defaults | {name: _folded(known[name], value) for name, value in config.items()}


@functools.cache
def _plan(kind: Kind) -> _Plan:
    secret = frozenset(kind.secret_fields)
    parts = {n: p for n, p in kind.schema["properties"].items() if n != "kind"}
    checks = {name: build_field_check(part, secret=name in secret) for name, part in parts.items()}
    checks["kind"] = build_choice_check((kind.name, *kind.aliases))
    return _Plan(kind.property_aliases, checks, secret, tuple(kind.schema["required"]))


def _fault(plan: _Plan, seen: set[str], given: Any, name: Any, value: Any) -> str | None:
    check = plan.checks.get(name)
    if check is None:
        return "unknown field"
    if name in seen:
        return f"is given twice: {name} has another name"
    return check(value)


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return text.normalize_text(value)
    return [text.normalize_text(item) for item in value] if isinstance(value, list) else value


def _path(given: Any) -> str:
    return f"properties.{_key(given)}"


def _key(given: Any) -> str:
    """A name that the caller chose, for a fault's path: shortened and printable."""
    name = str(given)
    if text.find_label_error(name, max_length=64):
        return ascii(name[:64])[1:-1]
    return name


def _canonical(part: IdentityPart, value: Any) -> str | None:
    if value is None:
        return None
    if part.form == "integer":
        return str(value)
    if part.form == "host":
        return formats.get_host(value) or None
    # Ids of providers are mostly opaque: folding their case could join two accounts.
    exact = text.normalize_text(value).strip()
    return (exact.lower() if part.form == "label" else exact) or None


def _variable_fault(variable: Variable | None, value: Any) -> str | None:
    if variable is None:
        return "unknown variable"
    if not isinstance(value, str):
        return "must be a string"
    if fault := _place_fault(variable)(value):
        return fault
    if variable.pattern and not re.fullmatch(
        variable.pattern[1:-1], _folded(variable, value), re.ASCII
    ):
        return f"must match {variable.pattern}"
    return None


def _place_fault(variable: Variable) -> Callable[[str], str | None]:
    return (
        formats.find_dns_label_error
        if variable.place == "host"
        else formats.find_path_segment_error
    )


def _folded(variable: Variable, value: str) -> str:
    """Hosts are the same in any case; paths need not be."""
    return value.lower() if variable.place == "host" else value
