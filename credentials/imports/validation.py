"""Validation of one import body: of a POST, an import line, a CSV row or an admin form."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from common import datetimes, text
from common.errors import InvalidInputError
from credentials.core import refresh_tokens
from credentials.imports.fields import FIELDS
from credentials.imports.secret_input import clean_properties, describe_placeholders
from providers.kinds import Kind
from providers.properties import get_identity_values, get_person_value, validate_properties
from providers.registry import get_registry
from vault import services as vault


@dataclass(frozen=True, slots=True)
class ImportItem:
    """A validated body. An optional field is None if it was absent; the stored value then stays.

    `missing_secrets` are the required secret fields that it leaves out. Only a row that has them
    already can be updated by it. An empty `owner_email` clears the stored one, and so does
    `clears_app` with the OAuth app. `organisation` is the identity without the person, for kinds
    whose tokens act as persons; without a `person`, `identity` is the same. `fingerprints_as_sent`
    and `identity_as_sent` are those of the secrets before they were cleaned, if any was. `notices`
    say what was cleaned. `ignored` are the read-only keys that the body of a named row had.
    """

    kind: Kind
    provider: str
    properties: dict[str, Any]
    secrets: dict[str, str]
    fingerprints: dict[str, str]
    missing_secrets: tuple[str, ...]
    identity: bytes
    organisation: bytes | None
    person: str | None
    app_id: uuid.UUID | None
    clears_app: bool
    name: str | None
    owner_email: str | None
    external_id: str | None
    metadata: dict[str, Any] | None
    obtained_at: dt.datetime | None
    hold: bool | None
    expires_at: dt.datetime | None
    fingerprints_as_sent: Mapping[str, str]
    identity_as_sent: bytes | None
    notices: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    @property
    def exclusive_token(self) -> str | None:
        """The fingerprint of a refresh token that only one credential may have, or None."""
        fingerprint = self.fingerprints.get(refresh_tokens.FIELD)
        return fingerprint if fingerprint and refresh_tokens.may_rotate(self.kind) else None


@dataclass(frozen=True, slots=True)
class KeyedHashes:
    """The keyed hashes of one account. They make no query, so any thread may compute them."""

    identify: Callable[[Sequence[str]], bytes]
    fingerprint: Callable[[str], str]

    @classmethod
    def of_account(cls, account_id: uuid.UUID) -> KeyedHashes:
        return cls(
            vault.build_identity_function(account_id), vault.build_fingerprint_function(account_id)
        )


def validate_item(body: object, *, account_id: uuid.UUID) -> ImportItem:
    """Validate `body` as far as that is possible without the account's rows.

    Raises InvalidInputError, which names every invalid field.
    """
    return validate_body(body, hashes=KeyedHashes.of_account(account_id))


def validate_body(body: object, *, hashes: KeyedHashes, hold: bool | None = None) -> ImportItem:
    """Validate like `validate_item`, but without a database query, so that any thread may do it."""
    if not isinstance(body, dict):
        raise InvalidInputError("The body must be a JSON object.")
    fields = read_fields(body)
    if "etag" in fields:
        raise InvalidInputError.for_field("etag", "needs the id of a credential")
    kind = _get_kind(fields["properties"])
    cleaned = clean_properties(kind, fields["properties"])
    properties, secrets = validate_properties(kind, cleaned.properties, partial=True)
    missing_secrets = tuple(name for name in _get_required_secrets(kind) if name not in secrets)
    app_id, external_id = fields.get("oauth_app_id"), fields.get("external_id")
    if kind.needs_app and app_id is None:
        raise InvalidInputError.for_field("oauth_app_id", f"is required for {kind.name}")
    parts = build_identity_parts(kind, properties, secrets, app_id, external_id)
    parts_as_sent = parts
    if cleaned.as_sent:
        as_sent = {**secrets, **cleaned.as_sent}
        parts_as_sent = build_identity_parts(kind, properties, as_sent, app_id, external_id)
    organisation = build_organisation_parts(kind, properties, app_id, external_id)
    return ImportItem(
        kind=kind,
        provider=properties["provider"] if kind.provider == "custom" else kind.provider,
        properties=properties,
        secrets=secrets,
        fingerprints={name: hashes.fingerprint(value) for name, value in secrets.items()},
        missing_secrets=missing_secrets,
        identity=hashes.identify(parts),
        organisation=hashes.identify(organisation) if organisation else None,
        person=get_person_value(kind, properties) if organisation else None,
        app_id=app_id,
        clears_app="oauth_app_id" in fields and app_id is None,
        name=fields.get("name"),
        owner_email=fields.get("owner_email"),
        external_id=external_id,
        metadata=fields.get("metadata"),
        obtained_at=fields.get("obtained_at"),
        hold=read_hold(fields, kind, default=hold),
        expires_at=datetimes.parse_rfc3339(properties.get("expires_at")),
        fingerprints_as_sent={
            name: hashes.fingerprint(value) for name, value in cleaned.as_sent.items()
        },
        identity_as_sent=hashes.identify(parts_as_sent) if parts_as_sent != parts else None,
        notices=(*cleaned.notices, *describe_placeholders(secrets)),
    )


def read_hold(fields: Mapping[str, Any], kind: Kind, *, default: bool | None) -> bool | None:
    """Return if the grant shall be on hold, None if that stays as it is."""
    if kind.refreshes:
        return cast("bool | None", fields.get("hold", default))
    if fields.get("hold"):
        raise InvalidInputError.for_field("hold", f"{kind.name} is not refreshed, so it needs none")
    return None


@functools.cache
def _get_required_secrets(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name in kind.schema["required"] if name in kind.secret_fields)


def read_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the body. Raises InvalidInputError, which names every invalid field."""
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, value in body.items():
        field = FIELDS.get(name)
        if field is None:
            errors[text.escape_name(name)] = ["unknown field"]
            continue
        try:
            values[name] = field.read(value)
        except ValueError as error:
            errors[name] = [str(error)]
    if "properties" not in body:
        errors["properties"] = ["is required"]
    if errors:
        raise InvalidInputError.for_fields(errors)
    return values


def _get_kind(properties: Mapping[str, Any]) -> Kind:
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
    """Return what identifies the upstream account. Raises InvalidInputError if that is missing.

    `external_id`, if it is given, identifies it alone. So several grants of one upstream account can
    be stored as several credentials. Otherwise the person belongs to it, if the token acts as a
    person and `properties` name one.
    """
    parts = [kind.name, str(app_id) if kind.needs_app else ""]
    if external_id:
        return [*parts, "external_id", external_id]
    values = get_identity_values(kind, properties)
    if values is not None and not kind.identity_with_secret:
        if person := get_person_value(kind, properties):
            return [*parts, "person", *values, person]
        return [*parts, "fields", *values]
    # A secret that rotates identifies nothing: the next one would be another account.
    if kind.rotates or not secrets:
        raise _build_missing_identity_error(kind, properties)
    pairs = [f"{name}={secrets[name]}" for name in sorted(secrets)]
    return [*parts, "secrets", *(values or []), *pairs]


def build_organisation_parts(
    kind: Kind, properties: Mapping[str, Any], app_id: uuid.UUID | None, external_id: str | None
) -> list[str] | None:
    """Return the identity without the person, None for kinds without one or with `external_id`."""
    values = get_identity_values(kind, properties)
    if kind.person is None or external_id or values is None or kind.identity_with_secret:
        return None
    return [kind.name, str(app_id) if kind.needs_app else "", "fields", *values]


def _build_missing_identity_error(kind: Kind, properties: Mapping[str, Any]) -> InvalidInputError:
    """Return the error that names the fields which identify the account, or `external_id` instead."""
    if not kind.rotates and (secrets := _get_required_secrets(kind)):
        # The secrets are required in any case, and identify the account.
        return InvalidInputError.for_fields(
            {f"properties.{name}": ["is required"] for name in secrets}
        )
    fields = [part.field for part in kind.identity]
    absent = [name for name in fields if properties.get(name) in (None, "")] or fields
    missing = [f"properties.{name}" for name in absent]
    reason = "is required to tell which upstream account this is"
    if not missing:
        return InvalidInputError.for_fields({"external_id": [reason]})
    return InvalidInputError.for_fields(
        {
            **{name: [f"{reason}, unless external_id is given"] for name in missing},
            "external_id": [f"{reason}, unless {' and '.join(missing)} is given"],
        }
    )
