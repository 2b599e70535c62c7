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
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import orjson
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet

from common.actors import Actor
from common.db import bulk_insert, dialect
from common.db.clock import db_now
from common.errors import ConflictError, InvalidInputError, ServiceError
from credentials.core import refresh_tokens
from credentials.core.columns import TABLE, get_postgresql_types
from credentials.core.refresh_tokens import KnownToken, TokenInUseError
from credentials.health import services as health
from credentials.imports.merge import (
    PlannedWrite,
    StoredCredential,
    is_continuation,
    plan_create,
    plan_join,
    plan_update,
)
from credentials.imports.validation import ImportItem
from credentials.models import Credential, CredentialAlias, Grant, OrganisationMember
from credentials.refresh import on_import as refresh
from events.services import NewEvent
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.properties import get_person_value
from providers.registry import get_registry
from providers.services import find_custom_provider_slugs
from webhooks.changes import record_changes

CHUNK_SIZE: Final = 1000
MAX_ATTEMPTS: Final = 5
MAX_NAMED: Final = 20
"""Credentials that one error names."""


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
    grant_id: uuid.UUID | None
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime


COLUMNS: Final = get_postgresql_types(InsertedCredential._fields)
_KEPT: Final = {
    "id", "identity", "account_id", "revision", "created_at",
    "provider", "external_id",
}  # fmt: skip
_ON_CONFLICT: Final = (
    "ON CONFLICT (account_id, identity) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEPT)
    + f", revision = {TABLE}.revision + 1 WHERE {TABLE}.id = excluded.id RETURNING id"
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
    """The result of one item. `id` is the row's; `error` says why it was rejected.

    `notices` say what was repaired in it.
    """

    result: Literal["created", "updated", "unchanged", "rejected"]
    id: uuid.UUID | None = None
    error: ServiceError | None = None
    notices: tuple[str, ...] = ()


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
    pending = list(items)
    while pending:
        rows = _lock_rows_of_items(account_id, pending)
        writes = _plan_writes(
            pending, rows, account_id, references, outcomes, identity_verified=identity_verified
        )
        written_ids: set[uuid.UUID] = set()
        if not dry_run:
            # All processes write in the same order, so that no two of them wait for each other.
            ordered = sorted(writes.values(), key=lambda write: write.row.identity)
            written_ids = _write_rows(ordered, rows, account_id, actor)
        for identity, write in writes.items():
            if dry_run or write.row.id in written_ids:
                result: Literal["created", "updated"] = "created" if write.created else "updated"
                outcomes[identity] = ImportOutcome(result, write.row.id)
        pending = [item for item in pending if item.identity not in outcomes]
    return outcomes


@dataclass(frozen=True, slots=True)
class _StoredRows:
    """The locked rows that items refer to: by identity, by a former identity, by a refresh token.

    `members` are the rows of an organisation, whatever the person. `shared_tokens` are tokens of
    other rows which their provider does not replace.
    """

    current: dict[bytes, StoredCredential]
    former: dict[bytes, StoredCredential]
    members: dict[bytes, list[StoredCredential]]
    token_owners: dict[str, StoredCredential]
    shared_tokens: frozenset[str]
    grants_on_hold: frozenset[uuid.UUID]

    def find(self, item: ImportItem) -> StoredCredential | None:
        """Return the row of the item's identity, which for an organisation alone is not definite."""
        if item.organisation and not item.person:
            return None
        row = self.current.get(item.identity) or self.former.get(item.identity)
        # Stored before secrets were cleaned.
        return row or self.current.get(item.identity_as_sent or b"")

    def find_token_owner(
        self, item: ImportItem, row: StoredCredential | None
    ) -> StoredCredential | None:
        """Return another row than the item's own `row` that has or had its refresh token."""
        token = item.exclusive_token
        if token is None or (row and token in row.fingerprints.get(refresh_tokens.FIELD, ())):
            return None
        return self.token_owners.get(token)

    def find_member(
        self, item: ImportItem, planned: Container[uuid.UUID]
    ) -> StoredCredential | None:
        """Return the row of the item's organisation that is the item's.

        That is the only row, if the item names no person. Otherwise it is the row of the person, or
        one whose person is not known yet; but not one of `planned`, which other items have got.
        Raises SeveralPersonsError.
        """
        rows = self.members.get(item.organisation, []) if item.organisation else []
        if item.organisation and not item.person:
            token = item.fingerprints.get(refresh_tokens.FIELD)
            owners = [
                row for row in rows if token in row.fingerprints.get(refresh_tokens.FIELD, ())
            ]
            if len(rows) > 1 and len(owners) != 1:
                raise SeveralPersonsError(item.kind, [row.id for row in rows])
            return next(iter(owners or rows), None)
        persons = {row.id: get_person_value(item.kind, row.properties) for row in rows}
        for row in rows:
            if persons[row.id] == item.person:
                return row
        unnamed = (row for row in rows if persons[row.id] is None and row.id not in planned)
        return next(unnamed, None)


class SeveralPersonsError(ConflictError):
    """The organisation has several credentials, and the import names no person (409).

    `extra["ids"]` are these credentials.
    """

    def __init__(self, kind: Kind, ids: Sequence[uuid.UUID]) -> None:
        named = [str(id) for id in sorted(ids, reverse=True)[:MAX_NAMED]]
        field = f"properties.{kind.person.field if kind.person else ''}"
        reason = (
            f"is required, because {len(ids)} persons of this organisation have a credential:"
            f" {', '.join(named)}{' and others' if len(ids) > MAX_NAMED else ''}"
        )
        super().__init__(
            f"{field}: {reason}",
            fields={field: [reason]},
            extra={"code": "several_persons", "ids": named, "field": field},
        )


def _plan_writes(
    items: Sequence[ImportItem],
    rows: _StoredRows,
    account_id: uuid.UUID,
    references: _References,
    outcomes: dict[bytes, ImportOutcome],
    *,
    identity_verified: bool,
) -> dict[bytes, PlannedWrite]:
    """Return the writes by identity. Items that need none get their outcome here."""
    now = db_now()
    writes: dict[bytes, PlannedWrite] = {}
    planned: set[uuid.UUID] = set()
    for item in items:
        try:
            _check_references(item, references)
            write = _plan_write(item, rows, planned, account_id, now)
            if write.row.id in planned:
                # One chunk has two identities of this row.
                raise InvalidInputError.for_field(
                    "properties", "is the same upstream account as another line"
                )
            if write.replaces_secrets and not identity_verified:
                raise DifferentSecretError(write.row.id)
            if item.hold is not None:
                write = _plan_hold(write, rows, hold=item.hold)
        except ServiceError as error:
            outcomes[item.identity] = ImportOutcome("rejected", error=error)
            continue
        planned.add(write.row.id)
        if write.created or write.changed:
            writes[item.identity] = write
        else:
            outcomes[item.identity] = ImportOutcome("unchanged", write.row.id)
    return writes


def _plan_hold(write: PlannedWrite, rows: _StoredRows, *, hold: bool) -> PlannedWrite:
    """Return `write`, which also puts its grant on hold or releases it, if that is a change."""
    if write.created:
        return replace(write, hold=hold)
    if (write.row.grant_id in rows.grants_on_hold) == hold:
        return write
    return replace(write, hold=hold, changed=[*write.changed, "hold"])


def _plan_write(
    item: ImportItem,
    rows: _StoredRows,
    planned: Container[uuid.UUID],
    account_id: uuid.UUID,
    now: dt.datetime,
) -> PlannedWrite:
    """Return the write of one item.

    Raises TokenInUseError, SeveralPersonsError, or what the functions of `merge` raise.
    """
    row = rows.find(item)
    owner = rows.find_token_owner(item, row)
    if owner is not None and owner.identity == item.identity:
        # Another process has created it since the rows were locked by their identities.
        row, owner = owner, None
    if owner is not None:
        if row is not None or not is_continuation(item, owner):
            raise TokenInUseError(owner.id)
        return plan_join(item, owner, account_id=account_id, now=now)
    if row is None:
        member = rows.find_member(item, planned)
        if member is not None:
            return plan_join(item, member, account_id=account_id, now=now)
        return plan_create(item, account_id=account_id, now=now)
    # An alias that differs by the external id alone is no identity before a rotation.
    has_same_external_id = (item.external_id or "") == row.external_id
    return plan_update(
        item,
        row,
        account_id=account_id,
        now=now,
        by_former_identity=item.identity in rows.former and has_same_external_id,
    )


def _lock_rows_of_items(account_id: uuid.UUID, items: Sequence[ImportItem]) -> _StoredRows:
    """Lock the rows that the items refer to."""
    organisations = {item.organisation for item in items if item.organisation}
    as_sent = {item.identity_as_sent for item in items if item.identity_as_sent}
    identities = sorted({item.identity for item in items} | organisations)
    current = _lock_rows(account_id, [*identities, *as_sent])
    # Only now, because acquiring the locks has waited for rotations in progress.
    former = _lock_rows_by_alias(account_id, [each for each in identities if each not in current])
    members = _lock_members(account_id, organisations, {**former, **current})
    locked = [*current.values(), *former.values()]
    locked += (row for rows in members.values() for row in rows)
    # An item that brings no new token, as most do, needs no statement for it.
    known = {
        token: row for row in locked for token in row.fingerprints.get(refresh_tokens.FIELD, ())
    }
    unknown = [token for item in items if (token := item.exclusive_token) and token not in known]
    owner_ids = refresh_tokens.find_owners(account_id, unknown)
    owners = _lock_rows_by_id(account_id, set(owner_ids.values())) if owner_ids else {}
    token_owners = {
        token: owners[id]
        for token, id in owner_ids.items()
        if id in owners and not refresh_tokens.has_kept_token(owners[id].fingerprints)
    }
    shared_tokens = frozenset(owner_ids) - set(token_owners)
    token_owners |= {
        token: row
        for token, row in known.items()
        if not refresh_tokens.has_kept_token(row.fingerprints)
    }
    grants_on_hold = _find_grants_on_hold(account_id, items, [*locked, *owners.values()])
    return _StoredRows(current, former, members, token_owners, shared_tokens, grants_on_hold)


def _lock_members(
    account_id: uuid.UUID, organisations: set[bytes], rows: Mapping[bytes, StoredCredential]
) -> dict[bytes, list[StoredCredential]]:
    """Return the rows of each organisation. `rows` are those locked already, by their identities."""
    if not organisations:
        return {}
    found = OrganisationMember.objects.filter(
        account_id=account_id, organisation__in=bulk_insert.as_array(sorted(organisations))
    ).values_list("organisation", "credential_id")
    pairs = [(bytes(organisation), id) for organisation, id in found]
    by_id = _lock_rows_by_id(account_id, {id for _, id in pairs}) if pairs else {}
    members = {each: {rows[each].id: rows[each]} for each in organisations if each in rows}
    for organisation, id in pairs:
        if id in by_id:
            members.setdefault(organisation, {})[id] = by_id[id]
    return {organisation: list(each.values()) for organisation, each in members.items()}


def _find_grants_on_hold(
    account_id: uuid.UUID, items: Iterable[ImportItem], rows: Iterable[StoredCredential]
) -> frozenset[uuid.UUID]:
    """Return the grants of the locked rows that are on hold, if an item says anything of that."""
    if all(item.hold is None for item in items):
        return frozenset()
    ids = {row.grant_id for row in rows if row.grant_id}
    on_hold = Grant.objects.filter(account_id=account_id, id__in=ids, on_hold=True)
    return frozenset(on_hold.values_list("id", flat=True))


def _lock_rows_by_id(
    account_id: uuid.UUID, ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, StoredCredential]:
    rows = Credential.objects.filter(account_id=account_id, id__in=ids)
    return {row.id: row for row in _lock(rows)}


def _lock_rows(account_id: uuid.UUID, identities: list[bytes]) -> dict[bytes, StoredCredential]:
    rows = Credential.objects.filter(
        account_id=account_id, identity__in=bulk_insert.as_array(identities)
    )
    return {row.identity: row for row in _lock(rows)}


def _lock(queryset: QuerySet[Credential]) -> Iterator[StoredCredential]:
    locked = queryset.select_for_update(of=("self",), no_key=True).order_by("identity")
    for values in locked.values_list(*StoredCredential._fields):
        row = StoredCredential._make(values)
        # psycopg reads bytea as memoryview, which cannot be the key of a dict.
        yield row._replace(identity=bytes(row.identity))


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
    writes: Sequence[PlannedWrite], rows: _StoredRows, account_id: uuid.UUID, actor: Actor
) -> set[uuid.UUID]:
    """Write rows and events. Return the ids of the rows that were written.

    Another process created the others concurrently.
    """
    if not writes:
        return set()
    now = db_now()
    _move_identities(writes, account_id)
    values = [build_row_values(write, account_id, now) for write in writes]
    unless_alias = dialect.choose(postgresql=_UNLESS_ALIAS, sqlite="")
    returned = bulk_insert.insert_rows(TABLE, COLUMNS, values, suffix=unless_alias + _ON_CONFLICT)
    # SQLite returns text.
    ids = {id if isinstance(id, uuid.UUID) else uuid.UUID(id) for (id,) in returned}
    written = [write for write in writes if write.row.id in ids]
    refresh.write_imported_grants(list(_build_grants(written, account_id, now)))
    _set_holds(written, account_id)
    _record_tokens(written, rows.shared_tokens, account_id)
    OrganisationMember.objects.bulk_create(
        OrganisationMember(
            account_id=account_id, organisation=write.organisation, credential_id=write.row.id
        )
        for write in written
        if write.organisation
    )
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


def _move_identities(writes: Iterable[PlannedWrite], account_id: uuid.UUID) -> None:
    """Store the new identities and the aliases of rows that were found by their refresh tokens."""
    joined = [write for write in writes if write.alias is not None]
    for write in joined:
        if write.moves_identity:
            # The statement that writes all rows finds this one by its new identity.
            Credential.objects.filter(account_id=account_id, id=write.row.id).update(
                identity=write.row.identity, external_id=write.row.external_id
            )
    aliases = [
        CredentialAlias(account_id=account_id, credential_id=write.row.id, identity=write.alias)
        for write in joined
    ]
    CredentialAlias.objects.bulk_create(aliases, ignore_conflicts=True)


def _record_tokens(
    written: Iterable[PlannedWrite], shared_tokens: frozenset[str], account_id: uuid.UUID
) -> None:
    """Record the refresh tokens of new grants.

    Raises IntegrityError if another process has recorded one of them since the rows were locked.
    """
    kinds = get_registry().kinds
    created: list[KnownToken] = []
    replaced: list[KnownToken] = []
    for write in written:
        is_replaced = f"properties.{refresh_tokens.FIELD}" in write.changed
        if not (write.created or is_replaced):
            continue
        if refresh_tokens.may_rotate(kinds[write.row.properties["kind"]]):
            (created if write.created else replaced).extend(
                KnownToken(token, write.row.id)
                for token in set(write.row.fingerprints.get(refresh_tokens.FIELD, ()))
                if token not in shared_tokens
            )
    refresh_tokens.add_tokens(account_id, created)
    if replaced:
        refresh_tokens.replace_tokens(account_id, replaced)


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
        grant_id=row.grant_id,
        revision=1,
        created_at=now,
        updated_at=now,
    )


def _build_grants(
    writes: Iterable[PlannedWrite], account_id: uuid.UUID, now: dt.datetime
) -> Iterator[refresh.ImportedGrant]:
    """Yield the grants that the writes create, replace or move to another app."""
    for write in writes:
        row = write.row
        if row.grant_id is None or not write.changes_grant:
            continue
        yield refresh.ImportedGrant(
            id=row.grant_id,
            account_id=account_id,
            oauth_app_id=row.oauth_app_id,
            generation=int(write.replaces_secrets),
            next_at=refresh.compute_first_refresh_at(
                get_registry().kinds[row.properties["kind"]],
                row.fingerprints,
                expires_at=row.expires_at,
                obtained_at=row.obtained_at,
                now=now,
            ),
            on_hold=bool(write.hold),
        )


def _set_holds(writes: Sequence[PlannedWrite], account_id: uuid.UUID) -> None:
    """Put stored grants on hold or release them; new ones are created as they shall be."""
    for hold in (True, False):
        grant_ids = [
            write.row.grant_id
            for write in writes
            if write.row.grant_id and write.hold is hold and not write.created
        ]
        if grant_ids:
            refresh.set_hold(account_id, grant_ids, on_hold=hold)


def _to_json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
