"""The changes that an import makes in a stored row.

Absent keys keep the stored value, and tokens that were refreshed are not rolled back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from common.datetimes import format_rfc3339
from common.db.ids import uuid7
from common.errors import ConflictError, InvalidInputError
from common.health import build_unknown_health
from common.strict_json import is_equal
from credentials.core.encryption import can_decrypt, decrypt_ciphertext, encrypt_secrets
from credentials.core.grant_state import start_history
from credentials.imports.secret_input import reject_placeholders
from credentials.imports.validation import ImportItem
from providers.properties import has_same_identity_values
from vault.sealing import SealedValue

MAX_CLOCK_SKEW: Final = dt.timedelta(minutes=5)


class StoredCredential(NamedTuple):
    """The columns of a credential that an import reads and may change."""

    id: uuid.UUID
    identity: bytes
    oauth_app_id: uuid.UUID | None
    provider: str
    name: str
    owner_email: str
    external_id: str
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]
    health: Mapping[str, Any]
    secrets: SealedValue | None
    fingerprints: Mapping[str, list[str]]
    obtained_at: dt.datetime | None
    expires_at: dt.datetime | None
    grant_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A row to write, and the names of the fields that changed, if any.

    `replaces_secrets`: it has another grant, so that a refresh of the former one no longer counts.
    `changes_grant`: its row of grants is new, or changes as well. `alias`: an identity by which imports
    find the row as well from now on. `moves_identity`: the row has another identity and external id
    than before. `organisation`: the identity of the organisation of a new row, whose own identity has
    the person as well.
    """

    row: StoredCredential
    changed: list[str]
    created: bool
    replaces_secrets: bool = False
    changes_grant: bool = True
    hold: bool | None = None
    """Puts the grant on hold or releases it. None leaves that as it is."""
    alias: bytes | None = None
    moves_identity: bool = False
    organisation: bytes | None = None


def plan_create(item: ImportItem, *, account_id: uuid.UUID, now: dt.datetime) -> PlannedWrite:
    """Return a new row. Raises InvalidInputError for the required secrets that `item` leaves out."""
    _check_obtained_at(item, now)
    if item.missing_secrets:
        raise InvalidInputError.for_fields(
            {f"properties.{name}": ["is required"] for name in item.missing_secrets}
        )
    id = uuid7()
    row = StoredCredential(
        id=id,
        identity=item.identity,
        oauth_app_id=item.app_id,
        provider=item.provider,
        name=item.name or "",
        owner_email=item.owner_email or "",
        external_id=item.external_id or "",
        properties=item.properties,
        metadata=item.metadata or {},
        health=build_unknown_health(now),
        secrets=encrypt_secrets(account_id, id, item.secrets),
        fingerprints={
            name: start_history(fingerprint) for name, fingerprint in item.fingerprints.items()
        },
        obtained_at=item.obtained_at,
        expires_at=item.expires_at,
        grant_id=uuid7() if item.kind.refreshes else None,
    )
    organisation = item.organisation if item.person else None
    return PlannedWrite(row=row, changed=[], created=True, organisation=organisation)


def plan_update(
    item: ImportItem,
    row: StoredCredential,
    *,
    account_id: uuid.UUID,
    now: dt.datetime,
    by_former_identity: bool = False,
) -> PlannedWrite:
    """Return `row` with the values of `item`.

    `by_former_identity`: the row was found by an identity that it had before a rotation. The item's
    properties are then as old as its secrets, and count only together with a new secret. So does an
    app that the row had before a change of app.

    Raises ConflictError for an item that was obtained before the stored one, and
    SecretUnavailableError (409) for a row that cannot be decrypted, unless `item` has all its
    secrets.
    """
    _check_obtained_at(item, now, stored=row.obtained_at)
    diff = _compare_secrets(item, row, account_id)
    reject_placeholders({name: item.secrets[name] for name in diff.changed if name in item.secrets})
    if by_former_identity and not diff.changed:
        item = _drop_outdated_properties(item, row)
    names_former_app = item.kind.needs_app and item.app_id != row.oauth_app_id
    if names_former_app and not diff.changed:
        item = replace(item, app_id=row.oauth_app_id)
    merged = _merge(item, row, diff)
    if diff.changed:
        secrets = _encrypt_merged(item, row, diff, account_id)
        histories = {name: start_history(item.fingerprints[name]) for name in diff.changed}
        merged = merged._replace(
            secrets=secrets,
            fingerprints={**row.fingerprints, **histories},
            health=build_unknown_health(now),
        )
    write = PlannedWrite(
        row=merged,
        changed=_list_changes(row, merged, diff),
        created=False,
        replaces_secrets=bool(diff.changed),
        changes_grant=bool(diff.changed)
        or (row.grant_id, row.oauth_app_id) != (merged.grant_id, merged.oauth_app_id),
    )
    # It was stored before secrets were cleaned, under the identity of the secret as it was sent.
    is_healed = bool(diff.changed) and row.identity == item.identity_as_sent
    # A new grant of the former app moves the row back to it.
    returns = bool(diff.changed) and names_former_app
    return _move(write, item, former=row.identity) if is_healed or returns else write


def is_continuation(item: ImportItem, row: StoredCredential) -> bool:
    """Return True if `item`, which has a refresh token of `row`, contradicts nothing in it.

    It may have an `external_id` that the row lacks or the other way round, and identity fields that
    the row lacks. Another app, another external id or another upstream account is a contradiction.
    """
    return (
        item.kind.name == row.properties["kind"]
        and item.app_id == row.oauth_app_id
        and not (item.external_id and row.external_id)
        and has_same_identity_values(item.kind, item.properties, row.properties)
    )


def plan_join(
    item: ImportItem, row: StoredCredential, *, account_id: uuid.UUID, now: dt.datetime
) -> PlannedWrite:
    """Return `row` with the values of `item`, which has another identity.

    The row was found by its refresh token, or by its organisation. It gains the item's external id,
    and keeps its former identity as an alias; without one, it gains the item's identity as an alias.
    Raises what `plan_update` raises.
    """
    write = plan_update(item, row, account_id=account_id, now=now)
    if item.organisation and not item.person:
        # The organisation's identity would find this person's row for every other person.
        return write
    if not item.external_id:
        return replace(write, changed=[*write.changed, "identity"], alias=item.identity)
    moved = _move(write, item, former=row.identity)
    return replace(
        moved,
        row=moved.row._replace(external_id=item.external_id),
        changed=["external_id", *write.changed],
    )


def _move(write: PlannedWrite, item: ImportItem, *, former: bytes) -> PlannedWrite:
    """Return the write with the item's identity. The former one stays as an alias."""
    row = write.row._replace(identity=item.identity)
    return replace(write, row=row, alias=former, moves_identity=True)


def _check_obtained_at(
    item: ImportItem, now: dt.datetime, *, stored: dt.datetime | None = None
) -> None:
    """Raise InvalidInputError for a time in the future, or ConflictError for one before `stored`."""
    if item.obtained_at is None:
        return
    # A time in the future would reject all later imports as older.
    if item.obtained_at > now + MAX_CLOCK_SKEW:
        raise InvalidInputError.for_field("obtained_at", "lies in the future")
    if stored and item.obtained_at < stored:
        reason = f"is older than what is stored ({format_rfc3339(stored)})"
        raise ConflictError(f"obtained_at: {reason}.")


def _drop_outdated_properties(item: ImportItem, row: StoredCredential) -> ImportItem:
    """Return an item whose secrets were rotated away, without the properties that went with them."""
    # Such as a key's id or its expiry. Labels belong to no secret.
    labels = {name: value for name, value in item.properties.items() if name in {"kind", "name"}}
    return replace(item, properties=labels, expires_at=row.expires_at)


@dataclass(frozen=True, slots=True)
class _SecretDiff:
    """The secret fields of an item, compared with those of a row.

    `changed` replace the stored ones. `outdated` were replaced by a refresh since the item was made.
    """

    changed: list[str]
    outdated: list[str]


def _compare_secrets(item: ImportItem, row: StoredCredential, account_id: uuid.UUID) -> _SecretDiff:
    changed: list[str] = []
    outdated: list[str] = []
    for name, fingerprint in item.fingerprints.items():
        history = row.fingerprints.get(name, [])
        if fingerprint not in history:
            # A row may have been stored before secrets were cleaned, and refreshed since then.
            as_sent = item.fingerprints_as_sent.get(name)
            is_former = as_sent in history and as_sent != history[0]
            (outdated if is_former else changed).append(name)
        elif fingerprint != history[0]:
            outdated.append(name)
    if row.secrets and not changed and not can_decrypt(account_id, row.id, row.secrets):
        # All secrets together replace what cannot be decrypted. Fewer are rejected when the rest is
        # decrypted.
        return _SecretDiff(sorted(item.fingerprints) or sorted(row.fingerprints), [])
    return _SecretDiff(changed, outdated)


def _merge(item: ImportItem, row: StoredCredential, diff: _SecretDiff) -> StoredCredential:
    """Return `row` with the values that `item` has, except for its secrets."""
    properties = _merge_properties(item, row, diff)
    # An expiry of the row alone, such as one that a refresh has set, stays.
    same_expiry = properties.get("expires_at") == row.properties.get("expires_at")
    return row._replace(
        oauth_app_id=None if item.clears_app else item.app_id or row.oauth_app_id,
        name=row.name if item.name is None else item.name,
        owner_email=row.owner_email if item.owner_email is None else item.owner_email,
        properties=properties,
        metadata=row.metadata if item.metadata is None else item.metadata,
        obtained_at=item.obtained_at or row.obtained_at,
        expires_at=row.expires_at if same_expiry else item.expires_at,
        # A kind whose provider's file began to refresh it later.
        grant_id=row.grant_id or (uuid7() if item.kind.refreshes else None),
    )


def _encrypt_merged(
    item: ImportItem, row: StoredCredential, diff: _SecretDiff, account_id: uuid.UUID
) -> SealedValue | None:
    """Return the item's secrets with those of the row that it lacks, or has in an outdated version."""
    new = {name: value for name, value in item.secrets.items() if name not in diff.outdated}
    stored: dict[str, str] = {}
    if set(row.fingerprints) - set(new):
        stored = decrypt_ciphertext(account_id, row.id, row.secrets)
    return encrypt_secrets(account_id, row.id, {**stored, **new})


def _merge_properties(item: ImportItem, row: StoredCredential, diff: _SecretDiff) -> dict[str, Any]:
    """Return the row's properties with those of the item."""
    new = dict(item.properties)
    stored = dict(row.properties)
    token = "access_token" if "access_token" in row.fingerprints else None
    token_changed = token in diff.changed if token else bool(diff.changed)
    # The expiry belongs to the token: it comes with a new one, and goes with the former one.
    if not token_changed and ("expires_at" in stored or token in diff.outdated):
        new.pop("expires_at", None)
    if "access_token" in diff.changed and "expires_at" not in new:
        stored.pop("expires_at", None)
    return {**stored, **new}


def _list_changes(row: StoredCredential, merged: StoredCredential, diff: _SecretDiff) -> list[str]:
    """Return the names of the fields that changed, for the event."""
    columns = ("oauth_app_id", "name", "owner_email", "obtained_at")
    names = [name for name in columns if getattr(row, name) != getattr(merged, name)]
    if not is_equal(row.metadata, merged.metadata):
        names.append("metadata")
    names += [
        f"properties.{name}"
        for name in sorted({*row.properties, *merged.properties})
        if name in diff.changed
        or (name in row.properties) != (name in merged.properties)
        or not is_equal(row.properties[name], merged.properties[name])
    ]
    return names
