"""Items into rows: one upstream account is one row, under any concurrency.

Within one transaction: the rows of these identities are read and locked, each item is merged with
its row, and what differs is written by one statement, which changes a row only if its id is the
one that the new seal was made for. An item whose identity another process took meanwhile is not
written by it: it goes round again and finds that row.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
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

# A rotation that was committed since we looked has left its former identity as an alias: such a row
# is not made again, but found in the next round. (SQLite lets one write at a time.)
_UNLESS_FORMER: Final = (
    " AND NOT EXISTS (SELECT FROM credentials_credentialalias former"
    " WHERE former.account_id = given.account_id AND former.identity = given.identity) "
)


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of one item: `id` is the row's, `problem` says why it was rejected."""

    result: Literal["created", "updated", "unchanged", "rejected"]
    id: uuid.UUID | None = None
    problem: ServiceError | None = None


class DifferentSecretError(ConflictError):
    """409: the upstream account has a credential, and what holds for it is not what was given."""

    def __init__(self, id: uuid.UUID) -> None:
        super().__init__(
            "There is a credential of this upstream account already, with another secret; nothing"
            " proved that this one is its owner's. To replace its secret, make the link with"
            " credential_id.",
            extra={"credential_id": str(id)},
        )


@dataclass(frozen=True, slots=True)
class _Owned:
    """What items may refer to: the account's OAuth apps with their providers, its custom services."""

    apps: dict[uuid.UUID, str]
    custom_providers: frozenset[str]


def store_items(
    items: Sequence[ImportItem],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    identity_verified: bool = True,
) -> list[ImportOutcome]:
    """Store at most CHUNK items of distinct identities in one transaction; outcomes in their order.

    With `dry_run`, the outcomes are those that would be, and nothing is written. Items whose identity
    is not `proved` replace no secret: such a one is rejected with OtherSecrets.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            with transaction.atomic():
                found = _store(items, account_id, actor, dry_run, identity_verified)
            return [found[item.identity] for item in items]
        except (IntegrityError, OperationalError) as error:
            # An app deleted meanwhile, or a deadlock: all is undone, so all of it runs again.
            if attempt == MAX_ATTEMPTS - 1 or not _transient(error):
                raise
    raise AssertionError("the last attempt returned or raised")


def _store(
    items: Sequence[ImportItem], account_id: uuid.UUID, actor: Actor, dry_run: bool, proved: bool
) -> dict[bytes, ImportOutcome]:
    outcomes: dict[bytes, ImportOutcome] = {}
    owned = _Owned(_apps(account_id, items), _custom_providers(account_id, items))
    # One order for all processes, so that none holds what another holding its next waits for.
    pending = sorted(items, key=lambda item: item.identity)
    while pending:
        writes = _planned(pending, account_id, owned, outcomes, proved)
        written = set() if dry_run else _written(list(writes.values()), account_id, actor)
        for identity, write in writes.items():
            if dry_run or write.row.id in written:
                result: Literal["created", "updated"] = "created" if write.created else "updated"
                outcomes[identity] = ImportOutcome(result, write.row.id)
        pending = [item for item in pending if item.identity not in outcomes]
    return outcomes


def _planned(
    items: Sequence[ImportItem],
    account_id: uuid.UUID,
    owned: _Owned,
    outcomes: dict[bytes, ImportOutcome],
    proved: bool,
) -> dict[bytes, PlannedWrite]:
    """What is to be written, by the items' identities; the outcomes of the others are settled here."""
    rows = _locked_rows(account_id, [item.identity for item in items])
    former = _formerly(account_id, [item.identity for item in items if item.identity not in rows])
    now = db_now()
    writes: dict[bytes, PlannedWrite] = {}
    seen: set[uuid.UUID] = set()
    for item in items:
        row = rows.get(item.identity) or former.get(item.identity)
        try:
            _check_owned(item, owned)
            if row is None:
                write = plan_create(item, account_id=account_id, now=now)
            elif row.id in seen:
                raise InvalidInputError.for_field(
                    "properties", "is the same upstream account as another line"
                )
            else:
                aged = item.identity in former
                write = plan_update(
                    item, row, account_id=account_id, now=now, by_former_identity=aged
                )
                if write.replaces_secrets and not proved:
                    raise DifferentSecretError(row.id)
        except ServiceError as problem:
            outcomes[item.identity] = ImportOutcome("rejected", problem=problem)
            continue
        seen.add(write.row.id)
        if write.created or write.changed:
            writes[item.identity] = write
        else:
            outcomes[item.identity] = ImportOutcome("unchanged", write.row.id)
    return writes


def _locked_rows(account_id: uuid.UUID, identities: list[bytes]) -> dict[bytes, StoredCredential]:
    rows = (
        Credential.objects.filter(
            account_id=account_id, identity__in=bulk_insert.as_array(identities)
        )
        .select_for_update(of=("self",), no_key=True)
        .order_by("identity")
        .values_list(*StoredCredential._fields)
    )
    stored = map(StoredCredential._make, rows)
    # psycopg reads bytea as memoryview, which is no key.
    return {bytes(row.identity): row._replace(identity=bytes(row.identity)) for row in stored}


def _formerly(account_id: uuid.UUID, identities: list[bytes]) -> dict[bytes, StoredCredential]:
    """The rows that had these identities before their secrets were rotated.

    It is asked after `_locked_rows`, which has waited for a rotation under way.
    """
    if not identities:
        return {}
    aliases = CredentialAlias.objects.filter(
        account_id=account_id, identity__in=bulk_insert.as_array(identities)
    )
    found = {
        bytes(old): bytes(new)
        for old, new in aliases.values_list("identity", "credential__identity")
    }
    rows = _locked_rows(account_id, sorted(set(found.values()))) if found else {}
    return {old: rows[new] for old, new in found.items() if new in rows}


def _apps(account_id: uuid.UUID, items: Iterable[ImportItem]) -> dict[uuid.UUID, str]:
    """The provider of each OAuth app that `items` name: those of the account alone."""
    wanted = {item.app_id for item in items if item.app_id}
    if not wanted:
        return {}
    found = OAuthApp.objects.filter(account_id=account_id, id__in=wanted)
    return dict(found.values_list("id", "provider"))


def _custom_providers(account_id: uuid.UUID, items: Iterable[ImportItem]) -> frozenset[str]:
    """Which custom services that `items` name are registered in the account."""
    wanted = {item.provider for item in items if item.kind.provider == "custom"}
    return (
        find_custom_provider_slugs(account_id=account_id, slugs=wanted) if wanted else frozenset()
    )


def _check_owned(item: ImportItem, owned: _Owned) -> None:
    if item.kind.provider == "custom" and item.provider not in owned.custom_providers:
        raise InvalidInputError.for_field(
            "properties.provider", "unknown service; register it first"
        )
    if item.app_id is None:
        return
    provider = owned.apps.get(item.app_id)
    if provider is None:
        raise InvalidInputError.for_field("oauth_app_id", "there is no such OAuth app")
    if provider != item.provider:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"is for {provider}; {item.kind.name} needs {item.provider}"
        )


def _written(writes: Sequence[PlannedWrite], account_id: uuid.UUID, actor: Actor) -> set[uuid.UUID]:
    """Write rows and events; the ids that were written: the others lost a race."""
    if not writes:
        return set()
    now = db_now()
    values = [build_row_values(write, account_id, now) for write in writes]
    unless = dialect.choose(postgresql=_UNLESS_FORMER, sqlite="")
    returned = bulk_insert.insert_rows(TABLE, COLUMNS, values, suffix=unless + _ON_CONFLICT)
    ids = {id if isinstance(id, uuid.UUID) else uuid.UUID(id) for (id,) in returned}
    if renewed := [w.row.id for w in writes if w.replaces_secrets and w.row.id in ids]:
        health.reset_probe_states(account_id=account_id, ids=renewed)
    events = [
        NewEvent("credential.created" if w.created else "credential.updated", w.row.id, w.changed)
        for w in writes
        if w.row.id in ids
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
        properties=_text(row.properties),
        metadata=_text(row.metadata),
        health=_text(row.health),
        secrets=row.secrets.blob if row.secrets else None,
        fingerprints=_text(row.fingerprints),
        obtained_at=row.obtained_at,
        expires_at=row.expires_at,
        account_id=account_id,
        # 1 begins another generation of the row that is there, see ON_CONFLICT_SET.
        generation=int(write.replaces_secrets),
        refresh_next_at=_first_due(row, now),
        revision=1,
        created_at=now,
        updated_at=now,
    )


def _first_due(row: StoredCredential, now: dt.datetime) -> dt.datetime | None:
    kind = get_registry().kinds[row.properties["kind"]]
    return refresh.compute_first_refresh_at(
        kind,
        row.fingerprints,
        expires_at=row.expires_at,
        obtained_at=row.obtained_at,
        now=now,
    )


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _transient(error: Exception) -> bool:
    """Whether the same statements may well succeed now (SQLSTATE class 40, or a foreign key's race)."""
    cause = getattr(error.__cause__, "sqlstate", None)
    return (
        isinstance(error, IntegrityError) or cause in {"40P01", "40001"} or "locked" in str(error)
    )
