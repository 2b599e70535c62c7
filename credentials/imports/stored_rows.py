"""The stored rows that items of an import refer to, locked until the end of the transaction."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from common.db import dialect
from common.db.bulk_insert import fetch_matching
from common.db.clock import to_datetime
from common.db.ids import to_uuid
from common.errors import ConflictError
from credentials.core import refresh_tokens
from credentials.core.columns import TABLE, get_postgresql_types
from credentials.imports.merge import StoredCredential
from credentials.imports.validation import ImportItem
from credentials.models import Grant
from providers.kinds import Kind
from providers.properties import get_person_value
from vault.sealing import SealedValue

MAX_NAMED: Final = 20
"""Credentials that one error names."""

# JSON as text, which orjson parses in a third of the time of the driver.
_COLUMNS: Final = tuple(
    f"{name}::text" if type == "jsonb" else name
    for name, type in get_postgresql_types(StoredCredential._fields).items()
)


@dataclass(frozen=True, slots=True)
class StoredRows:
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
        one whose person is not known yet; but not one of `planned`, which belong to other items.
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


def lock_rows_of_items(account_id: uuid.UUID, items: Sequence[ImportItem]) -> StoredRows:
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
    ids = sorted(set(owner_ids.values()))
    owners = {row.id: row for row in _lock(account_id, "id", ids)} if ids else {}
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
    return StoredRows(current, former, members, token_owners, shared_tokens, grants_on_hold)


def _lock_members(
    account_id: uuid.UUID, organisations: set[bytes], rows: Mapping[bytes, StoredCredential]
) -> dict[bytes, list[StoredCredential]]:
    """Return the rows of each organisation. `rows` are those locked already, by their identities."""
    if not organisations:
        return {}
    found = fetch_matching(
        "SELECT organisation, credential_id FROM credentials_organisationmember",
        account_id,
        "organisation",
        sorted(organisations),
    )
    pairs = [(bytes(organisation), to_uuid(id)) for organisation, id in found]
    ids = sorted({id for _, id in pairs})
    by_id = {row.id: row for row in _lock(account_id, "id", ids)} if ids else {}
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


def _lock_rows(account_id: uuid.UUID, identities: list[bytes]) -> dict[bytes, StoredCredential]:
    return {row.identity: row for row in _lock(account_id, "identity", identities)}


def _lock(
    account_id: uuid.UUID, column: str, values: Sequence[bytes] | Sequence[uuid.UUID]
) -> Iterator[StoredCredential]:
    """Return the account's rows whose `column` is one of `values`, locked in an order for all."""
    lock = dialect.lock_sql("FOR NO KEY UPDATE")
    columns = ", ".join(dialect.choose(postgresql=_COLUMNS, sqlite=StoredCredential._fields))
    rows = fetch_matching(
        f"SELECT {columns} FROM {TABLE}",  # noqa: S608 - our names alone
        account_id,
        column,
        values,
        suffix=f"ORDER BY identity {lock}",
    )
    return map(_decode, rows)


def _decode(values: tuple[Any, ...]) -> StoredCredential:
    row: Any = StoredCredential._make(values)
    decoded: StoredCredential = row._replace(
        id=to_uuid(row.id),
        # psycopg reads bytea as memoryview, which cannot be the key of a dict.
        identity=bytes(row.identity),
        oauth_app_id=row.oauth_app_id and to_uuid(row.oauth_app_id),
        properties=orjson.loads(row.properties),
        metadata=orjson.loads(row.metadata),
        health=orjson.loads(row.health),
        secrets=row.secrets and SealedValue(bytes(row.secrets)),
        fingerprints=orjson.loads(row.fingerprints),
        obtained_at=to_datetime(row.obtained_at),
        expires_at=to_datetime(row.expires_at),
        grant_id=row.grant_id and to_uuid(row.grant_id),
    )
    return decoded


def _lock_rows_by_alias(
    account_id: uuid.UUID, identities: list[bytes]
) -> dict[bytes, StoredCredential]:
    """Return the rows that had these identities before their secrets were rotated."""
    if not identities:
        return {}
    aliases = fetch_matching(
        "SELECT former.identity, current.identity FROM credentials_credentialalias former"
        " JOIN credentials_credential current ON current.id = former.credential_id",
        account_id,
        "former.identity",
        identities,
        account="former.account_id",
    )
    current_identities = {bytes(former): bytes(current) for former, current in aliases}
    if not current_identities:
        return {}
    rows = _lock_rows(account_id, sorted(set(current_identities.values())))
    return {
        former: rows[current] for former, current in current_identities.items() if current in rows
    }
