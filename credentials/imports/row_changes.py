"""Bodies that name the credential they change by its `id`, as the lines of an export do.

They need no secret and touch none that they leave out. What identifies the upstream account stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from common import datetimes
from common.actors import Actor
from common.api.etags import format_etag
from common.errors import InvalidInputError, PreconditionFailedError, ServiceError
from credentials.imports.fields import FIELDS, is_read_only
from credentials.imports.secret_input import clean_properties
from credentials.imports.upsert import ImportOutcome, store_items
from credentials.imports.validation import (
    ImportItem,
    KeyedHashes,
    build_identity_parts,
    read_fields,
    read_hold,
)
from credentials.models import Credential
from providers.kinds import Kind
from providers.properties import MASK, has_same_identity_values, validate_properties
from providers.registry import get_registry

_IDENTIFIES: Final = "identifies the upstream account; import the other account instead"


@dataclass(frozen=True, slots=True)
class RowChange:
    """The body of one line, which has an `id`. `etag` is the tag that its row must have, if any."""

    line: int
    id: uuid.UUID
    etag: str | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """The result of one change. `item` is None if the body is not valid for its row."""

    line: int
    item: ImportItem | None
    outcome: ImportOutcome


def names_row(body: object) -> bool:
    """Return True if `body` has an id, so that `read_change` reads it."""
    return isinstance(body, dict) and "id" in body


def read_change(body: Mapping[str, Any], line: int = 1) -> RowChange:
    """Return the change that `body` describes. Raises InvalidInputError for an invalid id or etag."""
    values: dict[str, Any] = {}
    for name in ("id", "etag"):
        if name in body:
            try:
                values[name] = FIELDS[name].read(body[name])
            except ValueError as error:
                raise InvalidInputError.for_field(name, str(error)) from None
    return RowChange(line, values["id"], values.get("etag"), body)


def store_changes(
    changes: Sequence[RowChange],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    hashes: KeyedHashes,
    hold: bool | None = None,
    dry_run: bool = False,
) -> list[ChangeOutcome]:
    """Apply the changes of distinct rows, at most CHUNK_SIZE, in one transaction.

    Returns the outcomes in the order of the changes. Secrets are replaced only if a change has them.
    """
    results: dict[int, ChangeOutcome] = {}
    items: list[tuple[int, ImportItem]] = []
    with transaction.atomic():
        rows = _fetch_rows(account_id, changes)
        for change in changes:
            try:
                items.append((change.line, _build_item(change, rows.get(change.id), hashes, hold)))
            except ServiceError as error:
                rejected = ImportOutcome("rejected", error=error)
                results[change.line] = ChangeOutcome(change.line, None, rejected)
        outcomes = store_items(
            [item for _, item in items], account_id=account_id, actor=actor, dry_run=dry_run
        )
    for (line, item), outcome in zip(items, outcomes, strict=True):
        results[line] = ChangeOutcome(line, item, outcome)
    return [results[change.line] for change in changes]


def _fetch_rows(account_id: uuid.UUID, changes: Iterable[RowChange]) -> dict[uuid.UUID, Credential]:
    """Return the rows by id: locked if a change depends on their revision, as `store_items` does."""
    changes = list(changes)
    rows = Credential.objects.filter(
        account_id=account_id, id__in=[change.id for change in changes]
    ).only("id", "identity", "revision", "oauth_app_id", "external_id", "properties", "kind")
    if any(change.etag for change in changes):
        rows = rows.select_for_update(of=("self",), no_key=True).order_by("identity")
    return {row.id: row for row in rows}


def _build_item(
    change: RowChange, row: Credential | None, hashes: KeyedHashes, hold: bool | None
) -> ImportItem:
    """Return the item that changes `row`. Raises ServiceError for what cannot be changed."""
    if row is None:
        raise InvalidInputError.for_field("id", "there is no such credential")
    if change.etag is not None and change.etag != format_etag(row.revision):
        reason = "the credential has changed since it was exported; export it again"
        raise PreconditionFailedError(f"etag: {reason}.", fields={"etag": [reason]})
    kind = get_registry().get_kind(row.kind)
    if kind is None:
        raise InvalidInputError.for_field(
            "id", f"there is no provider file for its kind {row.kind}"
        )
    body = {
        name: value
        for name, value in change.body.items()
        # A representation has null where a credential has none.
        if not is_read_only(name) and (value is not None or name not in {"name", "external_id"})
    }
    _reject_other_kind(kind, row, body)
    fields = read_fields({"properties": {}, **body})
    cleaned = clean_properties(kind, _drop_masks(kind, fields["properties"]))
    properties, secrets = _validate(kind, row, cleaned.properties)
    _reject_fixed(kind, row, fields, properties)
    _reject_identifying_secrets(kind, row, secrets)
    return ImportItem(
        kind=kind,
        provider=row.provider,
        properties=properties,
        secrets=secrets,
        fingerprints={name: hashes.fingerprint(value) for name, value in secrets.items()},
        # A row that is deleted now must not be created again.
        missing_secrets=tuple(name for name in kind.secret_fields if name not in secrets),
        identity=bytes(row.identity),
        organisation=None,
        person=None,
        app_id=fields.get("oauth_app_id") or row.oauth_app_id,
        clears_app="oauth_app_id" in fields and fields["oauth_app_id"] is None,
        name=fields.get("name"),
        owner_email=fields.get("owner_email"),
        external_id=row.external_id or None,
        metadata=fields.get("metadata"),
        obtained_at=fields.get("obtained_at"),
        hold=read_hold(fields, kind, default=hold),
        expires_at=datetimes.parse_rfc3339(properties.get("expires_at")),
        fingerprints_as_sent={},
        identity_as_sent=None,
        notices=cleaned.notices,
        ignored=tuple(name for name in change.body if is_read_only(name)),
    )


def _reject_other_kind(kind: Kind, row: Credential, body: dict[str, Any]) -> None:
    """Remove `kind`, which a representation has. Raise InvalidInputError for another kind."""
    properties = body.get("properties")
    kinds = [
        body.pop("kind", None),
        properties.get("kind") if isinstance(properties, dict) else None,
    ]
    for path, given in zip(("kind", "properties.kind"), kinds, strict=True):
        if given is not None and given not in (kind.name, *kind.aliases):
            raise InvalidInputError.for_field(path, f"is {row.kind} and cannot be changed")


def _drop_masks(kind: Kind, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties without secrets that are only displayed as a mask, or are null."""
    return {
        name: value
        for name, value in properties.items()
        if kind.property_aliases.get(name, name) not in kind.secret_fields
        or value not in {MASK, "", None}
    }


def _validate(
    kind: Kind, row: Credential, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the given properties, validated together with those that stay, and the secrets."""
    names = {kind.property_aliases.get(name, name) for name in given}
    staying = {
        name: value
        for name, value in row.properties.items()
        if name not in names and name not in kind.secret_fields
    }
    validated, secrets = validate_properties(kind, {**staying, **given}, partial=True)
    # Those that stay are not written back: a refresh may change them concurrently.
    return {name: value for name, value in validated.items() if name in {*names, "kind"}}, secrets


def _reject_fixed(
    kind: Kind, row: Credential, fields: Mapping[str, Any], properties: Mapping[str, Any]
) -> None:
    """Raise InvalidInputError for a value that would make it another upstream account."""
    errors: dict[str, list[str]] = {}
    if "external_id" in fields and fields["external_id"] != row.external_id:
        errors["external_id"] = [_IDENTIFIES]
    app_id = fields.get("oauth_app_id", row.oauth_app_id)
    if kind.needs_app and app_id != row.oauth_app_id:
        errors["oauth_app_id"] = ["cannot be changed by an import that names the credential"]
    given = {**row.properties, **properties}
    provider_is_other = given.get("provider") != row.properties.get("provider")
    is_other = not row.external_id and not has_same_identity_values(kind, given, row.properties)
    if provider_is_other or is_other:
        fixed = [part.field for part in kind.identity] + ["provider"]
        for name in (name for name in fixed if name in properties):
            errors[f"properties.{name}"] = [_IDENTIFIES]
    if errors:
        raise InvalidInputError.for_fields(errors)


def _reject_identifying_secrets(kind: Kind, row: Credential, secrets: Mapping[str, str]) -> None:
    """Raise InvalidInputError for secrets that would change the identity of the row."""
    if not secrets:
        return
    parts = build_identity_parts(
        kind, row.properties, secrets, row.oauth_app_id, row.external_id or None
    )
    if "secrets" in parts[2:3]:
        raise InvalidInputError.for_fields(
            {
                f"properties.{name}": ["identifies the credential; rotate it, or leave out the id"]
                for name in secrets
            }
        )
