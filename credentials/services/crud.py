"""The only writers of credentials: the API, the admin and the commands all come through here."""

from __future__ import annotations

import uuid
from typing import Any, TypedDict

from django.db import transaction
from django.db.models import F

from common import strict_json
from common.actors import Actor
from common.api.etags import ETags
from common.api.merge_patch import merge_patch
from common.db.clock import DbNow
from common.db.ids import uuid7
from common.strict_json import is_equal
from credentials.core.locks import lock_credential
from credentials.imports.upsert import ImportOutcome, store_items
from credentials.imports.validation import validate_item
from credentials.models import Credential, Revocation
from credentials.revocation.policy import can_revoke
from events.services import record_event
from vault.sealing import Place, SealedValue, SecretUnavailableError, seal, unseal
from webhooks.services import enqueue_webhook


class CredentialChanges(TypedDict, total=False):
    """What may change without an import: "" or an empty object clears."""

    name: str
    owner_email: str
    metadata: dict[str, Any]


def credential_import(
    *, account_id: uuid.UUID, actor: Actor, body: Any, account_verified: bool = True
) -> ImportOutcome:
    """Create or update the credential of the upstream account that `body` names.

    Returns the outcome and the row's id. Raises Invalid for a wrong body, Conflict for one older
    than what is stored, and OtherSecrets (409) where it would replace the secrets of a row although
    nothing `proved` that it is that account's.
    """
    item = validate_item(body, account_id=account_id)
    (outcome,) = store_items(
        [item], account_id=account_id, actor=actor, identity_verified=account_verified
    )
    if outcome.problem is not None:
        raise outcome.problem
    return outcome


def credential_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: CredentialChanges,
    merge: bool = False,
    if_match: ETags | None = None,
) -> None:
    """Apply what differs; nothing is written, and no event, where nothing does. Opens no seal.

    With `merge`, metadata is merged into what is stored (RFC 7396) instead of replacing it. Raises
    NotFound, Invalid, or PreconditionFailed where `if_match` names other revisions.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        if merge and "metadata" in changes:
            merged = merge_patch(row.metadata, changes["metadata"])
            changes["metadata"] = strict_json.check_metadata(merged)
        differing = {n: new for n, new in changes.items() if not is_equal(new, getattr(row, n))}
        if not differing:
            return
        Credential.objects.filter(id=id).update(
            **differing, revision=F("revision") + 1, updated_at=DbNow()
        )
        _record(actor, account_id, id, "updated", list(differing))
        enqueue_webhook(account_id=account_id, type="credential.updated", target_id=id)


def credential_delete(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = None
) -> None:
    """Remove the credential, and note for the worker what is to be revoked at the provider.

    Raises NotFound or PreconditionFailed. A row that does not open is removed all the same.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        _note_revocation(row)
        row.delete()
        _record(actor, account_id, id, "deleted", [])
        enqueue_webhook(account_id=account_id, type="credential.deleted", target_id=id)


def _note_revocation(row: Credential) -> None:
    revocation = Revocation(
        id=uuid7(),
        account_id=row.account_id,
        oauth_app_id=row.oauth_app_id,
        credential_id=row.id,
        kind=row.kind,
        properties=row.properties,
    )
    revocation.sealed = _sealed_again(row, revocation)
    revocation.save(force_insert=True)


def _sealed_again(row: Credential, revocation: Revocation) -> SealedValue | None:
    """The secrets, sealed for the revocation; None where its provider takes no revocation."""
    if not can_revoke(row.kind) or row.secrets is None:
        return None
    try:
        value = unseal(Place.of(row, "secrets"), row.secrets)
    except SecretUnavailableError:
        return None
    return seal(Place.of(revocation, "sealed"), value)


def _record(
    actor: Actor, account_id: uuid.UUID, id: uuid.UUID, verb: str, changed: list[str]
) -> None:
    record_event(
        actor=actor,
        account_id=account_id,
        verb=f"credential.{verb}",
        target_type="credential",
        target_id=id,
        changed=changed,
    )
