"""From one OAuth app to another of the same provider: the credential's id, name and history stay.

The app is part of what tells one upstream account's credentials apart, so the identity is computed
anew. The former one leads nowhere: an import that still names the former app is of another credential.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F

from common.actors import Actor
from common.db.clock import DbNow, db_now
from common.errors import ConflictError, InvalidInputError
from credentials.core.grant_state import is_leased
from credentials.core.locks import lock_credential
from credentials.imports.validation import build_identity_parts
from credentials.models import Credential, CredentialAlias
from credentials.refresh.errors import RefreshInProgressError
from events.services import record_event
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.properties import get_identity_values
from providers.registry import get_registry
from vault.sealing import Place, unseal
from vault.services import compute_identity
from webhooks.services import enqueue_webhook

_TAKEN: Final = "The other app has a credential of this upstream account already."


def credential_change_app(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, oauth_app_id: uuid.UUID
) -> bool:
    """Let the credential be of this OAuth app; False where it is already.

    The grant itself is not asked about: a refresh token is bound to the client that got it (RFC 6749
    §6), so its provider may refuse the new one. Raises NotFound, Invalid for an app that is not of
    this account and provider, Conflict for a credential without an app or where the other app has
    this upstream account's (`extra["id"]`), or Unavailable while a refresh is under way.
    """
    try:
        with transaction.atomic():
            return _move(lock_credential(account_id, id), oauth_app_id, actor)
    except IntegrityError:
        # Somebody imported it for the other app between our look and our write.
        raise ConflictError(_TAKEN) from None


def _move(row: Credential, app_id: uuid.UUID, actor: Actor) -> bool:
    if row.oauth_app_id == app_id:
        return False
    if row.oauth_app_id is None:
        raise ConflictError("It is of no OAuth app.")
    kind = get_registry().get_kind(row.kind)
    if kind is None:
        raise ConflictError("This server no longer knows the credential's kind.")
    _check_app(row, app_id)
    if is_leased(row, db_now()):
        raise RefreshInProgressError()
    new = bytes(row.identity)
    if kind.needs_app:
        new = _identity(row, kind, app_id)
        _check_free(row, new)
        CredentialAlias.objects.filter(credential_id=row.id).delete()
    Credential.objects.filter(id=row.id).update(
        oauth_app_id=app_id, identity=new, revision=F("revision") + 1, updated_at=DbNow()
    )
    record_event(
        actor=actor,
        account_id=row.account_id,
        verb="credential.updated",
        target_type="credential",
        target_id=row.id,
        changed=["oauth_app_id"],
    )
    enqueue_webhook(account_id=row.account_id, type="credential.updated", target_id=row.id)
    return True


def _check_app(row: Credential, app_id: uuid.UUID) -> None:
    apps = OAuthApp.objects.filter(account_id=row.account_id, id=app_id)
    provider = apps.values_list("provider", flat=True).first()
    if provider is None:
        raise InvalidInputError.for_field("oauth_app_id", "there is no such OAuth app")
    if provider != row.provider:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"is for {provider}; this is of {row.provider}"
        )


def _identity(row: Credential, kind: Kind, app_id: uuid.UUID) -> bytes:
    """The seal is opened only where a secret is what tells the upstream account."""
    told = row.external_id or (
        get_identity_values(kind, row.properties) is not None and not kind.identity_with_secret
    )
    secrets: dict[str, str] = {}
    if not told and row.secrets is not None:
        secrets = unseal(Place.of(row, "secrets"), row.secrets)
    parts = build_identity_parts(kind, row.properties, secrets, app_id, row.external_id or None)
    return compute_identity(row.account_id, parts)


def _check_free(row: Credential, new: bytes) -> None:
    rows = Credential.objects.filter(account_id=row.account_id, identity=new).exclude(id=row.id)
    former = CredentialAlias.objects.filter(account_id=row.account_id, identity=new)
    other = rows.values_list("id", flat=True).first() or (
        former.exclude(credential_id=row.id).values_list("credential_id", flat=True).first()
    )
    if other:
        raise ConflictError(_TAKEN, extra={"id": str(other)})
