"""Store items so that one upstream account is one row, however many processes import it.

Within one transaction:

1. Lock the rows of the items' identities.
2. Merge each item with its row.
3. Write the changed rows in one statement. It updates a row only if the new ciphertext was
   encrypted for its id.
4. Repeat this for items that were not written because another process created their row after
   step 1.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import orjson
from django.db import IntegrityError, OperationalError, transaction

from common.actors import Actor
from common.db import bulk_insert, dialect
from common.db.clock import db_now
from common.errors import ConflictError, InvalidInputError, ServiceError
from credentials.core.columns import TABLE, get_postgresql_types
from credentials.health import services as health
from credentials.imports.merge import (
    PlannedWrite,
    StoredCredential,
    plan_create,
    plan_update,
)
from credentials.imports.validation import ImportItem
from credentials.models import Credential, CredentialAlias
from credentials.refresh import on_import as refresh
from events.services import NewEvent
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from providers.services import find_custom_provider_slugs
from webhooks.changes import record_changes

CHUNK_SIZE: Final = 1000
MAX_ATTEMPTS: Final = 5


class InsertedCredential(NamedTuple):
    """A row as it is inserted: the fields are the columns. JSON is text."""

    id: uuid.UUID
    identity: bytes
    oauth_app_id: uuid.UUID | None
    provider: str
    name: str
    owner_email: str
    external_id: str
    properties: str
    metadata: str
    health: str
    secrets: bytes | None
    fingerprints: str
    obtained_at: dt.datetime | None
    expires_at: dt.datetime | None
    account_id: uuid.UUID
    generation: int
    refresh_next_at: dt.datetime | None
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


COLUMNS: Final = get_postgresql_types(InsertedCredential._fields)
_KEPT: Final = {
    "id", "identity", "account_id", "generation", "refresh_next_at", "revision", "created_at",
    "provider", "external_id",
}  # fmt: skip
_ON_CONFLICT: Final = (
    "ON CONFLICT (account_id, identity) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEPT)
    + f", {refresh.ON_CONFLICT_SET}, revision = {TABLE}.revision + 1 WHERE {TABLE}.id = excluded.id RETURNING id"
)

# A rotation that committed after step 1 has turned the item's identity into an alias of an existing
# row. Inserting it would create a second row for one upstream account. SQLite has one writer at a
# time, so this cannot happen there.
_UNLESS_ALIAS: Final = (
    " AND NOT EXISTS (SELECT FROM credentials_credentialalias former"
    " WHERE former.account_id = given.account_id AND former.identity = given.identity) "
)


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """The result of one item. `id` is the row's; `error` says why it was rejected."""

    result: Literal["created", "updated", "unchanged", "rejected"]
    id: uuid.UUID | None = None
    error: ServiceError | None = None


class DifferentSecretError(ConflictError):
    """The upstream account has a credential with another secret (409)."""

    def __init__(self, id: uuid.UUID) -> None:
        super().__init__(
            "This upstream account already has a credential with another secret, and it is not"
            " verified that the new one belongs to the same owner. To replace the secret, create the"
            " link with credential_id.",
            extra={"credential_id": str(id)},
        )


@dataclass(frozen=True, slots=True)
class _References:
    """The account's OAuth apps and custom services that the items refer to."""

    app_providers: dict[uuid.UUID, str]
    custom_providers: frozenset[str]


def store_items(
    items: Sequence[ImportItem],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    identity_verified: bool = True,
) -> list[ImportOutcome]:
    """Store at most CHUNK_SIZE items of distinct identities in one transaction.

    Returns the outcomes in the order of the items. With `dry_run` nothing is written; the outcomes
    are those of a real import. Without `identity_verified`, an item that would replace a secret is
    rejected with DifferentSecretError.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            with transaction.atomic():
                outcomes = _store_in_transaction(
                    items, account_id, actor, dry_run=dry_run, identity_verified=identity_verified
                )
            return [outcomes[item.identity] for item in items]
        except (IntegrityError, OperationalError) as error:
            # Everything was rolled back, and the same statements may succeed now: after a deadlock or
            # serialization failure (SQLSTATE class 40), or if an app was deleted concurrently.
            is_transient = (
                isinstance(error, IntegrityError)
                or getattr(error.__cause__, "sqlstate", None) in {"40P01", "40001"}
                or "locked" in str(error)
            )
            if attempt == MAX_ATTEMPTS - 1 or not is_transient:
                raise
    raise AssertionError("the last attempt returned or raised")


def _store_in_transaction(
    items: Sequence[ImportItem],
    account_id: uuid.UUID,
    actor: Actor,
    *,
    dry_run: bool,
    identity_verified: bool,
) -> dict[bytes, ImportOutcome]:
    outcomes: dict[bytes, ImportOutcome] = {}
    references = _fetch_references(account_id, items)
    # All processes lock in the same order, so that no two of them wait for each other.
    pending = sorted(items, key=lambda item: item.identity)
    while pending:
        writes = _plan_writes(
            pending, account_id, references, outcomes, identity_verified=identity_verified
        )
        written_ids = set() if dry_run else _write_rows(list(writes.values()), account_id, actor)
        for identity, write in writes.items():
            if dry_run or write.row.id in written_ids:
                result: Literal["created", "updated"] = "created" if write.created else "updated"
                outcomes[identity] = ImportOutcome(result, write.row.id)
        pending = [item for item in pending if item.identity not in outcomes]
    return outcomes


def _plan_writes(
    items: Sequence[ImportItem],
    account_id: uuid.UUID,
    references: _References,
    outcomes: dict[bytes, ImportOutcome],
    *,
    identity_verified: bool,
) -> dict[bytes, PlannedWrite]:
    """Return the writes by identity. Items that need none get their outcome here."""
    rows = _lock_rows(account_id, [item.identity for item in items])
    # Only now, because acquiring the locks has waited for rotations in progress.
    former_rows = _lock_rows_by_alias(
        account_id, [item.identity for item in items if item.identity not in rows]
    )
    now = db_now()
    writes: dict[bytes, PlannedWrite] = {}
    row_ids: set[uuid.UUID] = set()
    for item in items:
        row = rows.get(item.identity) or former_rows.get(item.identity)
        try:
            _check_references(item, references)
            if row is None:
                write = plan_create(item, account_id=account_id, now=now)
            elif row.id in row_ids:
                # One chunk has the current and a former identity of this row.
                raise InvalidInputError.for_field(
                    "properties", "is the same upstream account as another line"
                )
            else:
                write = plan_update(
                    item,
                    row,
                    account_id=account_id,
                    now=now,
                    by_former_identity=item.identity in former_rows,
                )
                if write.replaces_secrets and not identity_verified:
                    raise DifferentSecretError(row.id)
        except ServiceError as error:
            outcomes[item.identity] = ImportOutcome("rejected", error=error)
            continue
        row_ids.add(write.row.id)
        if write.created or write.changed:
            writes[item.identity] = write
        else:
            outcomes[item.identity] = ImportOutcome("unchanged", write.row.id)
    return writes


def _lock_rows(account_id: uuid.UUID, identities: list[bytes]) -> dict[bytes, StoredCredential]:
    rows = (
        Credential.objects.filter(
            account_id=account_id, identity__in=bulk_insert.as_array(identities)
        )
        .select_for_update(of=("self",), no_key=True)
        .order_by("identity")
        .values_list(*StoredCredential._fields)
    )
    stored = map(StoredCredential._make, rows)
    # psycopg reads bytea as memoryview, which cannot be the key of a dict.
    return {bytes(row.identity): row._replace(identity=bytes(row.identity)) for row in stored}


def _lock_rows_by_alias(
    account_id: uuid.UUID, identities: list[bytes]
) -> dict[bytes, StoredCredential]:
    """Return the rows that had these identities before their secrets were rotated."""
    if not identities:
        return {}
    aliases = CredentialAlias.objects.filter(
        account_id=account_id, identity__in=bulk_insert.as_array(identities)
    )
    current_identities = {
        bytes(former): bytes(current)
        for former, current in aliases.values_list("identity", "credential__identity")
    }
    if not current_identities:
        return {}
    rows = _lock_rows(account_id, sorted(set(current_identities.values())))
    return {
        former: rows[current] for former, current in current_identities.items() if current in rows
    }


def _fetch_references(account_id: uuid.UUID, items: Iterable[ImportItem]) -> _References:
    app_ids = {item.app_id for item in items if item.app_id}
    slugs = {item.provider for item in items if item.kind.provider == "custom"}
    app_providers: dict[uuid.UUID, str] = {}
    custom_providers: frozenset[str] = frozenset()
    # Most imports refer to neither and need no query.
    if app_ids:
        apps = OAuthApp.objects.filter(account_id=account_id, id__in=app_ids)
        app_providers = dict(apps.values_list("id", "provider"))
    if slugs:
        custom_providers = find_custom_provider_slugs(account_id=account_id, slugs=slugs)
    return _References(app_providers, custom_providers)


def _check_references(item: ImportItem, references: _References) -> None:
    if item.kind.provider == "custom" and item.provider not in references.custom_providers:
        raise InvalidInputError.for_field(
            "properties.provider", "unknown service; register it first"
        )
    if item.app_id is None:
        return
    provider = references.app_providers.get(item.app_id)
    if provider is None:
        raise InvalidInputError.for_field("oauth_app_id", "there is no such OAuth app")
    if provider != item.provider:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"is for {provider}; {item.kind.name} needs {item.provider}"
        )


def _write_rows(
    writes: Sequence[PlannedWrite], account_id: uuid.UUID, actor: Actor
) -> set[uuid.UUID]:
    """Write rows and events. Return the ids of the rows that were written.

    Another process created the others concurrently.
    """
    if not writes:
        return set()
    now = db_now()
    values = [build_row_values(write, account_id, now) for write in writes]
    unless_alias = dialect.choose(postgresql=_UNLESS_ALIAS, sqlite="")
    returned = bulk_insert.insert_rows(TABLE, COLUMNS, values, suffix=unless_alias + _ON_CONFLICT)
    # SQLite returns text.
    ids = {id if isinstance(id, uuid.UUID) else uuid.UUID(id) for (id,) in returned}
    written = [write for write in writes if write.row.id in ids]
    if replaced := [write.row.id for write in written if write.replaces_secrets]:
        health.reset_probe_states(account_id=account_id, ids=replaced)
    events = [
        NewEvent(
            "credential.created" if write.created else "credential.updated",
            write.row.id,
            write.changed,
        )
        for write in written
    ]
    record_changes(actor, account_id, "credential", events)
    return ids


def build_row_values(
    write: PlannedWrite, account_id: uuid.UUID, now: dt.datetime
) -> InsertedCredential:
    """Return the columns of a row that is created at `now`."""
    row = write.row
    return InsertedCredential(
        id=row.id,
        identity=row.identity,
        oauth_app_id=row.oauth_app_id,
        provider=row.provider,
        name=row.name,
        owner_email=row.owner_email,
        external_id=row.external_id,
        properties=_to_json(row.properties),
        metadata=_to_json(row.metadata),
        health=_to_json(row.health),
        secrets=row.secrets.blob if row.secrets else None,
        fingerprints=_to_json(row.fingerprints),
        obtained_at=row.obtained_at,
        expires_at=row.expires_at,
        account_id=account_id,
        # An update adds this to the stored generation, see ON_CONFLICT_SET.
        generation=int(write.replaces_secrets),
        refresh_next_at=refresh.compute_first_refresh_at(
            get_registry().kinds[row.properties["kind"]],
            row.fingerprints,
            expires_at=row.expires_at,
            obtained_at=row.obtained_at,
            now=now,
        ),
        revision=1,
        created_at=now,
        updated_at=now,
    )


def _to_json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
