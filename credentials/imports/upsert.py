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
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from django.db import IntegrityError, OperationalError, transaction

from common.actors import Actor
from common.db.bulk_insert import fetch_matching
from common.db.clock import db_now
from common.db.ids import to_uuid
from common.errors import ConflictError, InvalidInputError, ServiceError
from credentials.core.refresh_tokens import TokenInUseError
from credentials.imports.merge import (
    PlannedWrite,
    is_continuation,
    plan_create,
    plan_join,
    plan_update,
)
from credentials.imports.row_writes import write_rows
from credentials.imports.stored_rows import StoredRows, lock_rows_of_items
from credentials.imports.validation import ImportItem
from providers.services import find_custom_provider_slugs

CHUNK_SIZE: Final = 1000
MAX_ATTEMPTS: Final = 5


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
        rows = lock_rows_of_items(account_id, pending)
        now = db_now()
        writes = _plan_writes(
            pending,
            rows,
            account_id,
            references,
            outcomes,
            now,
            identity_verified=identity_verified,
        )
        written_ids: set[uuid.UUID] = set()
        if not dry_run:
            # All processes write in the same order, so that no two of them wait for each other.
            ordered = sorted(writes.values(), key=lambda write: write.row.identity)
            written_ids = write_rows(ordered, rows, account_id, actor, now)
        for identity, write in writes.items():
            if dry_run or write.row.id in written_ids:
                result: Literal["created", "updated"] = "created" if write.created else "updated"
                outcomes[identity] = ImportOutcome(result, write.row.id)
        pending = [item for item in pending if item.identity not in outcomes]
    return outcomes


def _plan_writes(
    items: Sequence[ImportItem],
    rows: StoredRows,
    account_id: uuid.UUID,
    references: _References,
    outcomes: dict[bytes, ImportOutcome],
    now: dt.datetime,
    *,
    identity_verified: bool,
) -> dict[bytes, PlannedWrite]:
    """Return the writes by identity. Items that need none get their outcome here."""
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


def _plan_hold(write: PlannedWrite, rows: StoredRows, *, hold: bool) -> PlannedWrite:
    """Return `write`, which also puts its grant on hold or releases it, if that is a change."""
    if write.created:
        return replace(write, hold=hold)
    if (write.row.grant_id in rows.grants_on_hold) == hold:
        return write
    return replace(write, hold=hold, changed=[*write.changed, "hold"])


def _plan_write(
    item: ImportItem,
    rows: StoredRows,
    planned: Container[uuid.UUID],
    account_id: uuid.UUID,
    now: dt.datetime,
) -> PlannedWrite:
    """Return the write of one item.

    Raises TokenInUseError, SeveralPersonsError, or what the functions of `merge` raise.
    """
    row = rows.find(item)
    owner = rows.find_token_owner(item, row)
    former = rows.former.get(item.identity)
    if owner is not None and (
        owner.identity == item.identity or (former is not None and owner.id == former.id)
    ):
        # Another process has created it since the rows were locked by their identities, or the item
        # names the former app and an organisation alone, which its token makes definite.
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


def _fetch_references(account_id: uuid.UUID, items: Iterable[ImportItem]) -> _References:
    app_ids = {item.app_id for item in items if item.app_id}
    slugs = {item.provider for item in items if item.kind.provider == "custom"}
    app_providers: dict[uuid.UUID, str] = {}
    custom_providers: frozenset[str] = frozenset()
    # Most imports refer to neither and need no query.
    if app_ids:
        apps = fetch_matching(
            "SELECT id, provider FROM oauth_apps_oauthapp", account_id, "id", sorted(app_ids)
        )
        app_providers = {to_uuid(id): provider for id, provider in apps}
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
