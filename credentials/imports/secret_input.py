"""Secrets as they enter: repaired where people and exports damage them, and reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import InvalidInputError
from common.pem import has_armor, repair_pem
from common.secret_text import clean_secret, is_placeholder
from providers.kinds import Kind


@dataclass(frozen=True, slots=True, repr=False)
class CleanedProperties:
    """Properties whose secrets are clean.

    `as_sent` has the spelling of each secret that was changed: a row may have been stored under it
    before. `notices` say what was removed, by field, and never a value.
    """

    properties: Mapping[str, Any]
    as_sent: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def clean_properties(kind: Kind, properties: Mapping[str, Any]) -> CleanedProperties:
    """Return the properties with the secret fields of `kind` cleaned. Other fields are not touched."""
    cleaned: dict[str, Any] = {}
    as_sent: dict[str, str] = {}
    notices: list[str] = []
    for sent_name, value in properties.items():
        name = kind.property_aliases.get(sent_name, sent_name)
        if name not in kind.secret_fields or not isinstance(value, str):
            continue
        secret, notice = _clean(name, value)
        if secret == value:
            continue
        cleaned[sent_name], as_sent[name] = secret, value
        if notice:
            notices.append(f"properties.{name}: {notice}")
    if not cleaned:
        return CleanedProperties(properties)
    return CleanedProperties({**properties, **cleaned}, as_sent, tuple(notices))


def _clean(name: str, value: str) -> tuple[str, str]:
    """Return the clean secret and its notice, which is empty if only a PEM's end was trimmed."""
    if has_armor(value):
        pem = repair_pem(value)
        return (
            pem,
            "" if pem.strip() == value.strip() else "restored the line breaks of the PEM block",
        )
    clean = clean_secret(value, is_password=is_password(name))
    return clean.value, f"removed {' and '.join(clean.removed)}"


def reject_placeholders(secrets: Mapping[str, str]) -> None:
    """Raise InvalidInputError for secrets that would replace a stored one with a placeholder."""
    errors = {
        f"properties.{name}": ["is a placeholder, not a secret; the stored one stays"]
        for name in _find_placeholders(secrets)
    }
    if errors:
        raise InvalidInputError.for_fields(errors)


def describe_placeholders(secrets: Mapping[str, str]) -> list[str]:
    """Return a notice for each secret that is most likely none, for a row that has none yet."""
    return [f"properties.{name}: looks like a placeholder" for name in _find_placeholders(secrets)]


def _find_placeholders(secrets: Mapping[str, str]) -> list[str]:
    return [
        name
        for name, value in secrets.items()
        if is_placeholder(value, is_password=is_password(name))
    ]


def is_password(field_name: str) -> bool:
    """Return True for a secret that a person has chosen, which may end in a space."""
    return "password" in field_name or "passphrase" in field_name
