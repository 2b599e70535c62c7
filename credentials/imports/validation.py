"""One import body, checked: what a POST, an import line, a CSV row and an admin form all become."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from common import datetimes, strict_json, text
from common.db.ids import parse_uuid
from common.errors import InvalidInputError
from providers.kinds import Kind
from providers.properties import get_identity_values, validate_properties
from providers.registry import get_registry
from vault import services as vault

MAX_NAME_LENGTH: Final = 200
_UNLESS: Final = "is required to tell which upstream account this is, unless {} is given"


@dataclass(frozen=True, slots=True)
class ImportItem:
    """A checked body. None in the optional fields: it was absent, so what is stored stays.

    `partial` lists the required secret fields that it leaves out: only a row that holds them
    already can take it. An empty `owner_email`, or an `app_id` of NO_APP, clears.
    """

    kind: Kind
    provider: str
    properties: dict[str, Any]
    secrets: dict[str, str]
    missing_secrets: tuple[str, ...]
    identity: bytes
    app_id: uuid.UUID | None
    clears_app: bool
    name: str | None
    owner_email: str | None
    external_id: str | None
    metadata: dict[str, Any] | None
    obtained_at: dt.datetime | None
    expires_at: dt.datetime | None


IdentityFunction = Callable[[Sequence[str]], bytes]
"""What makes an identity of what says it (vault.services.build_identity_function)."""


def validate_item(body: Any, *, account_id: uuid.UUID) -> ImportItem:
    """Check `body` as far as that goes without the account's rows. Raises Invalid with every fault."""
    return validate_body(body, identify=vault.build_identity_function(account_id))


def validate_body(body: Any, *, identify: IdentityFunction) -> ImportItem:
    """`read_item` without any question to the database, so that any thread may run it."""
    if not isinstance(body, dict):
        raise InvalidInputError("The body must be a JSON object.")
    fields = _checked(body)
    kind = _kind(fields["properties"])
    shown, secrets = validate_properties(kind, fields["properties"], partial=True)
    partial = tuple(name for name in _required_secrets(kind) if name not in secrets)
    app_id, external_id = fields.get("oauth_app_id"), fields.get("external_id")
    if kind.needs_app and app_id is None:
        raise InvalidInputError.for_field("oauth_app_id", f"is required for {kind.name}")
    parts = build_identity_parts(kind, shown, secrets, app_id, external_id)
    return ImportItem(
        kind=kind,
        provider=shown["provider"] if kind.provider == "custom" else kind.provider,
        properties=shown,
        secrets=secrets,
        missing_secrets=partial,
        identity=identify(parts),
        app_id=app_id,
        clears_app="oauth_app_id" in fields and app_id is None,
        name=fields.get("name"),
        owner_email=fields.get("owner_email"),
        external_id=external_id,
        metadata=fields.get("metadata"),
        obtained_at=fields.get("obtained_at"),
        expires_at=datetimes.parse_rfc3339(shown.get("expires_at")),
    )


@functools.cache
def _required_secrets(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name in kind.schema["required"] if name in kind.secret_fields)


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body's fields with our types. Raises Invalid naming each that is wrong or unknown."""
    found: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    for field, value in body.items():
        read = _READERS.get(field)
        if read is None:
            faults[text.escape_name(field)] = ["unknown field"]
            continue
        try:
            found[field] = read(value)
        except ValueError as fault:
            faults[field] = [str(fault)]
    if "properties" not in body:
        faults["properties"] = ["is required"]
    if faults:
        raise InvalidInputError.for_fields(faults)
    return found


def _kind(properties: Any) -> Kind:
    if not isinstance(properties, dict):
        raise InvalidInputError.for_field("properties", "must be an object")
    name = properties.get("kind")
    if name is None:
        raise InvalidInputError.for_field("properties.kind", "is required")
    kind = get_registry().get_kind(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInputError.for_field(
            "properties.kind", "unknown; GET /v1/providers lists the known ones"
        )
    return kind


def build_identity_parts(
    kind: Kind,
    properties: Mapping[str, Any],
    secrets: Mapping[str, str],
    app_id: uuid.UUID | None,
    external_id: str | None,
) -> list[str]:
    """What says which upstream account this is. Raises Invalid naming what would say it.

    `external_id`, where given, says it alone: so that several grants of one upstream account (two
    users of one Salesforce organisation) can be kept apart.
    """
    parts = [kind.name, str(app_id) if kind.needs_app else ""]
    if external_id:
        return [*parts, "external_id", external_id]
    values = get_identity_values(kind, properties)
    if values is not None and not kind.identity_with_secret:
        return [*parts, "fields", *values]
    if kind.rotates or not secrets:
        raise _unidentified(kind, properties)
    given = [f"{name}={secrets[name]}" for name in sorted(secrets)]
    return [*parts, "secrets", *(values or []), *given]


def _unidentified(kind: Kind, shown: Mapping[str, Any]) -> InvalidInputError:
    """A secret where one is needed anyway; else what is missing, and `external_id` in its place."""
    secrets = [] if kind.rotates else _required_secrets(kind)
    if secrets:
        return InvalidInputError.for_fields(
            {f"properties.{name}": ["is required"] for name in secrets}
        )
    parts = [part.field for part in kind.identity]
    absent = [name for name in parts if shown.get(name) in (None, "")] or parts
    missing = [f"properties.{name}" for name in absent]
    if not missing:
        reason = "is required to tell which upstream account this is"
        return InvalidInputError.for_fields({"external_id": [reason]})
    faults = {name: [_UNLESS.format("external_id")] for name in missing}
    return InvalidInputError.for_fields(
        {**faults, "external_id": [_UNLESS.format(" and ".join(missing))]}
    )


def _label(max_length: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        label = text.normalize_text(value)
        if fault := text.find_label_error(label, max_length=max_length):
            raise ValueError(fault)
        return label

    return read


def parse_email(value: Any) -> str:
    """An address; null or "" clears."""
    if value is None or value == "":
        return ""
    email = _label(254)(value)
    if not _is_email(email):
        raise ValueError("must be an e-mail address")
    return email


@functools.lru_cache(maxsize=4096)
def _is_email(value: str) -> bool:
    """One owner often has many credentials, and the check takes longer than the rest of a line's."""
    try:
        validate_email(value)
    except ValidationError:
        return False
    return True


def _app_id(value: Any) -> uuid.UUID | None:
    found = parse_uuid(value)
    if value is not None and found is None:
        raise ValueError("must be an id: a UUID in lower case with hyphens")
    return found


def _metadata(value: Any) -> dict[str, Any]:
    return strict_json.check_metadata(value)


def _moment(value: Any) -> dt.datetime:
    found = datetimes.parse_rfc3339(value)
    if found is None:
        raise ValueError("must be a time like 2026-11-21T09:30:00Z, with its offset")
    return found


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "properties": lambda value: value,
    "name": _label(MAX_NAME_LENGTH),
    "oauth_app_id": _app_id,
    "metadata": _metadata,
    "owner_email": parse_email,
    "external_id": _label(255),
    "obtained_at": _moment,
}
