"""Strict validation of a credential's properties, and the values derived from them.

A kind's schema is compiled once into one function per field, so that an import of 100,000 lines
spends its time elsewhere. The JSON Schema accepts all that this accepts: `tests/providers` checks it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from common import text
from common.errors import InvalidInputError
from providers import formats
from providers.field_checks import FieldCheck, build_choice_check, build_field_check
from providers.kinds import IdentityPart, Kind, Provider, Variable

MASK: Final = "**********"
"""Displayed in place of each secret: of fixed length, so that it does not reveal the secret's."""


@dataclass(frozen=True, slots=True)
class _CompiledKind:
    aliases: Mapping[str, str]
    checks: Mapping[str, FieldCheck]
    secret: frozenset[str]
    required: tuple[str, ...]


def validate_properties(
    kind: Kind, properties: object, *, partial: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the properties to display and the secrets to encrypt.

    The displayed ones keep the given order, with aliases replaced by the real names, labels in NFC
    and secrets as MASK. Nothing is coerced, and secrets are not changed here: see
    credentials/imports/secret_input.py. `partial` makes
    secrets optional: an import of a known account keeps those that it does not send. Raises
    InvalidInputError with all errors at once, none of which repeats a value.
    """
    if not isinstance(properties, dict):
        raise InvalidInputError.for_field("properties", "must be an object")
    compiled = _compile(kind)
    displayed: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    errors: dict[str, list[str]] = {}
    present: set[str] = set()
    for sent_name, value in properties.items():
        name = compiled.aliases.get(sent_name, sent_name)
        check = compiled.checks.get(name)
        if check is None:
            error: str | None = "unknown field"
        elif name in present:
            error = f"is given twice: {name} has another name"
        else:
            error = check(value)
        if error:
            errors[f"properties.{_escape_key(sent_name)}"] = [error]
        elif name in compiled.secret:
            secrets[name] = value
            displayed[name] = MASK
        else:
            displayed[name] = kind.name if name == "kind" else _normalize(value)
        present.add(name)
    for name in compiled.required:
        if name not in present and not (partial and name in compiled.secret):
            errors[f"properties.{name}"] = ["is required"]
    if errors:
        raise InvalidInputError.for_fields(errors)
    return displayed, secrets


def _normalize(value: object) -> object:
    """Return a valid value with its text in NFC, so that equal labels compare as equal."""
    if isinstance(value, str):
        return text.normalize_text(value)
    if isinstance(value, list):
        return [text.normalize_text(item) for item in value]
    return value


def find_field_error(kind: Kind, name: str, value: object) -> str | None:
    """Return why `value` is not valid for one property, or None if it is."""
    return _compile(kind).checks[name](value)


def get_identity_values(kind: Kind, properties: Mapping[str, Any]) -> list[str] | None:
    """Return the canonical values that identify the upstream account, or None if one is missing.

    None also if the kind names no identity field. If `kind.identity_with_secret`, they are not
    enough, and the caller adds the secrets.
    """
    parts = [_canonicalize(part, properties.get(part.field)) for part in kind.identity]
    values = [value for value in parts if value]
    return values if values and len(values) == len(parts) else None


def get_person_value(kind: Kind, properties: Mapping[str, Any]) -> str | None:
    """Return the canonical value that identifies the person whose token it is, None if unknown."""
    person = kind.person
    if person is None:
        return None
    return _canonicalize(IdentityPart(person.field, person.form), properties.get(person.field))


def has_same_identity_values(
    kind: Kind, properties: Mapping[str, Any], others: Mapping[str, Any]
) -> bool:
    """Return False if both have an identity field, or a person, with different values."""
    person = kind.person
    parts = [*kind.identity, *([IdentityPart(person.field, person.form)] if person else ())]
    for part in parts:
        value, other = (_canonicalize(part, each.get(part.field)) for each in (properties, others))
        if value and other and value != other:
            return False
    return True


def resolve_url_variables(provider: Provider, config: object) -> dict[str, str]:
    """Return the provider's URL variables from `config`, in addition to those with a default.

    Raises InvalidInputError for an unknown name, and for a value that is not what the variable's
    place allows: URLs made of these values have the host that the provider's file says, except after
    an origin, which is the customer's own server. A variable without a default may be missing; a URL
    that needs it cannot be built then.
    """
    if not isinstance(config, dict):
        raise InvalidInputError.for_field("config", "must be an object")
    known = provider.variables
    errors = {
        f"config.{_escape_key(name)}": [error]
        for name, value in config.items()
        if (error := find_variable_error(known.get(name), value))
    }
    if errors:
        raise InvalidInputError.for_fields(errors)
    defaults = {name: item.default for name, item in known.items() if item.default is not None}
    return defaults | {name: _fold_case(known[name], value) for name, value in config.items()}


@functools.cache
def _compile(kind: Kind) -> _CompiledKind:
    secret = frozenset(kind.secret_fields)
    parts = {n: p for n, p in kind.schema["properties"].items() if n != "kind"}
    checks = {name: build_field_check(part, secret=name in secret) for name, part in parts.items()}
    checks["kind"] = build_choice_check((kind.name, *kind.aliases))
    return _CompiledKind(kind.property_aliases, checks, secret, tuple(kind.schema["required"]))


def _escape_key(sent_name: object) -> str:
    """Return a name that the caller chose, short and printable, for the path of an error."""
    name = str(sent_name)
    if text.find_label_error(name, max_length=64):
        return ascii(name[:64])[1:-1]
    return name


def _canonicalize(part: IdentityPart, value: object) -> str | None:
    if value is None:
        return None
    if part.form == "integer":
        return str(value)
    if part.form == "host":
        return formats.get_host(str(value)) or None
    # The ids of most providers are opaque: folding their case could join two accounts.
    exact = text.normalize_text(str(value)).strip()
    return (exact.lower() if part.form == "label" else exact) or None


def find_variable_error(variable: Variable | None, value: object) -> str | None:
    """Return why `value` is not valid for a variable of the provider's file, or None."""
    if variable is None:
        return "unknown variable"
    if not isinstance(value, str):
        return "must be a string"
    if variable.values:
        allowed = ", ".join(variable.values)
        return None if value.lower() in variable.values else f"must be one of {allowed}"
    if error := _PLACE_CHECKS[variable.place](value):
        return error
    if variable.pattern and not re.fullmatch(
        variable.pattern[1:-1], _fold_case(variable, value), re.ASCII
    ):
        return f"must match {variable.pattern}"
    return None


def _fold_case(variable: Variable, value: str) -> str:
    # Host names are the same in any case; paths need not be.
    if variable.place == "origin":
        origin = "/".join(value.split("/", 3)[:3])
        return (origin.lower() + value[len(origin) :]).rstrip("/")
    return value if variable.place == "path" else value.lower()


_PLACE_CHECKS: Final = {
    "host": formats.find_dns_label_error,
    "labels": formats.find_dns_labels_error,
    "path": formats.find_path_segment_error,
    "origin": formats.find_base_url_error,
}
