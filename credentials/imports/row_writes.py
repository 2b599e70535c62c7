"""The statements that write the planned rows of an import, and what belongs to them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from common.actors import Actor
from common.db import bulk_insert, dialect
from credentials.core import refresh_tokens
from credentials.core.columns import TABLE, get_postgresql_types
from credentials.core.refresh_tokens import KnownToken
from credentials.health import services as health
from credentials.imports.merge import PlannedWrite, StoredCredential
from credentials.imports.stored_rows import StoredRows
from credentials.models import Credential, CredentialAlias, OrganisationMember
from credentials.refresh import on_import as refresh
from events.services import NewEvent
from providers.registry import get_registry
from vault.sealing import SealedValue
from webhooks.outbox import record_changes

COLUMNS: Final = get_postgresql_types(
    (*StoredCredential._fields, "account_id", "revision", "created_at", "updated_at")
)
_KEPT: Final = {
    "id", "identity", "account_id", "revision", "created_at",
    "provider", "external_id",
}  # fmt: skip
_ON_CONFLICT: Final = (
    "ON CONFLICT (account_id, identity) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEPT)
    + f", revision = {TABLE}.revision + 1 WHERE {TABLE}.id = excluded.id RETURNING id"
)

# A rotation that committed after the rows were locked has turned the item's identity into an alias
# of an existing row. Inserting it would create a second row for one upstream account. SQLite has
# one writer at a time, so this cannot happen there.
_UNLESS_ALIAS: Final = (
    " AND NOT EXISTS (SELECT FROM credentials_credentialalias former"
    " WHERE former.account_id = given.account_id AND former.identity = given.identity) "
)


def write_rows(
    writes: Sequence[PlannedWrite],
    rows: StoredRows,
    account_id: uuid.UUID,
    actor: Actor,
    now: dt.datetime,
) -> set[uuid.UUID]:
    """Write rows and events. Return the ids of the rows that were written.

    Another process created the others concurrently.
    """
    if not writes:
        return set()
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
            # It may have had this identity before.
            CredentialAlias.objects.filter(
                account_id=account_id, credential_id=write.row.id, identity=write.row.identity
            ).delete()
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
) -> tuple[Any, ...]:
    """Return the values of COLUMNS for a row that is created at `now`."""
    # JSON columns are dicts, whose text `insert_rows` expects.
    values = [
        orjson.dumps(value).decode()
        if type(value) is dict
        else value.blob
        if type(value) is SealedValue
        else value
        for value in write.row
    ]
    return (*values, account_id, 1, now, now)


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
