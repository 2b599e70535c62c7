"""Import, update and delete a credential."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, TypedDict, cast

from django.db import transaction
from django.db.models import F

from common import strict_json
from common.actors import Actor
from common.api.etags import ETags
from common.api.merge_patch import merge_patch
from common.db.clock import DbNow
from common.db.ids import uuid7
from common.strict_json import is_equal
from credentials.core.encryption import decrypt_secrets
from credentials.core.locks import lock_credential, lock_grant
from credentials.core.refresh_tokens import belongs_to_another
from credentials.imports.row_changes import names_row, read_change, store_changes
from credentials.imports.upsert import ImportOutcome, store_items
from credentials.imports.validation import ImportItem, KeyedHashes, validate_item
from credentials.models import Credential, Revocation
from credentials.revocation.policy import can_revoke
from events.services import EventTarget
from vault.sealing import Place, SecretUnavailableError, seal
from webhooks.outbox import record_change


class CredentialChanges(TypedDict, total=False):
    """The fields that can change without an import. "" or an empty object clears one."""

    name: str
    owner_email: str
    metadata: dict[str, Any]


def credential_import(
    *, account_id: uuid.UUID, actor: Actor, body: object, account_verified: bool = True
) -> ImportOutcome:
    """Create or update the credential of the upstream account that `body` names, or change that of
    its `id`.

    `account_verified`: the provider, or the caller's own token, has proved that the secrets belong to
    that upstream account.

    Raises InvalidInputError for an invalid body; ConflictError if it is older than what is stored, or
    if it would replace the secrets of an existing credential although `account_verified` is False.
    """
    item: ImportItem | None
    if names_row(body):
        (result,) = store_changes(
            [read_change(cast(dict[str, Any], body))],
            account_id=account_id,
            actor=actor,
            hashes=KeyedHashes.of_account(account_id),
        )
        item, outcome = result.item, result.outcome
    else:
        item = validate_item(body, account_id=account_id)
        (outcome,) = store_items(
            [item], account_id=account_id, actor=actor, identity_verified=account_verified
        )
    if outcome.error is not None or item is None:
        raise outcome.error or AssertionError("an outcome has an item or an error")
    ignored = [f"{name}: is read-only and was ignored" for name in item.ignored]
    return replace(outcome, notices=(*item.notices, *ignored))


def credential_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: CredentialChanges,
    merge: bool = False,
    if_match: ETags | None = None,
) -> None:
    """Apply the changes that differ from what is stored. Without a difference, write nothing.

    With `merge`, metadata is a merge patch (RFC 7396) for the stored object; otherwise it replaces
    that object. Nothing is decrypted.

    Raises NotFoundError, InvalidInputError, or PreconditionFailedError if the revision is not among
    `if_match`.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        if merge and "metadata" in changes:
            merged = merge_patch(row.metadata, changes["metadata"])
            # A patch within the limits can make an object that exceeds them.
            metadata = strict_json.check_metadata(merged, stored=row.metadata)
            changes = {**changes, "metadata": metadata}
        columns = {n: value for n, value in changes.items() if not is_equal(value, getattr(row, n))}
        if not columns:
            return
        Credential.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        target = EventTarget("credential", account_id, id)
        record_change(actor, target, "credential.updated", list(columns))


def credential_delete(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = None
) -> None:
    """Delete the credential, and enqueue its revocation at the provider.

    A row whose secrets cannot be decrypted is deleted as well; nothing is revoked then. Raises
    NotFoundError or PreconditionFailedError.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        grant = lock_grant(row)
        _create_revocation(row)
        row.delete()
        if grant is not None:
            grant.delete()
        target = EventTarget("credential", account_id, id)
        record_change(actor, target, "credential.deleted")


def _create_revocation(row: Credential) -> None:
    """Store what the worker needs to revoke the grant after its row is gone.

    The secrets are encrypted again, because a ciphertext decrypts only in the row it was made for.
    """
    revocation = Revocation(
        id=uuid7(),
        account_id=row.account_id,
        oauth_app_id=row.oauth_app_id,
        credential_id=row.id,
        kind=row.kind,
        properties=row.properties,
    )
    # A token that belongs to another credential stays in use.
    if can_revoke(row.kind) and row.secrets is not None and not belongs_to_another(row):
        try:
            secrets = decrypt_secrets(row)
        except SecretUnavailableError:
            # Without its key the row is useless; refusing would only keep it from being deleted.
            pass
        else:
            revocation.sealed = seal(Place.of(revocation, "sealed"), secrets)
    revocation.save(force_insert=True)
