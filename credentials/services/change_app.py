"""Move a credential to another OAuth app of the same provider. Its id, name and history stay.

For most kinds the app is part of the identity, so the identity is computed again. The former identity
stays as an alias: an import that still names the former app finds the credential. It changes the app
back only if it brings another grant, because that is the former app's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F

from common.actors import Actor
from common.api.etags import ETags
from common.db.clock import DbNow, db_now
from common.errors import ConflictError, InvalidInputError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import ACTIVE, NO_FAILURES, is_leased
from credentials.core.locks import lock_credential, lock_grant
from credentials.imports.validation import build_identity_parts, build_organisation_parts
from credentials.models import Credential, Grant, OrganisationMember
from credentials.refresh.errors import RefreshInProgressError
from credentials.services.preconditions import keep_former_identity, require_kind
from events.services import EventTarget
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.properties import get_identity_values
from vault.services import compute_identity
from webhooks.outbox import record_change

_IN_USE: Final = "The other app already has a credential for this upstream account."


def credential_change_app(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    oauth_app_id: uuid.UUID,
    if_match: ETags | None = None,
) -> bool:
    """Move the credential to this OAuth app. Return False if it already belongs to it.

    The provider is not called. A refresh token is bound to the client that it was issued to (RFC 6749
    §6), so the provider may reject it for the other client. A grant whose refreshes fail is due at
    once, because the former app may be the reason.

    Raises NotFoundError or PreconditionFailedError; InvalidInputError for an app of another account or provider; ConflictError
    for a credential without an app, or if the other app already has a credential for this upstream
    account (`extra["id"]`); RefreshInProgressError during a refresh.
    """
    try:
        with transaction.atomic():
            row = lock_credential(account_id, id, if_match)
            if row.oauth_app_id == oauth_app_id:
                return False
            if row.oauth_app_id is None:
                raise ConflictError("This credential does not use an OAuth app.")
            kind = require_kind(row)
            _check_app(row, oauth_app_id)
            # The tokens of a running refresh belong to the former app, and would be stored under
            # the new one.
            grant = lock_grant(row)
            if is_leased(grant, db_now()):
                raise RefreshInProgressError()
            identity = bytes(row.identity)
            # Without an app in the identity, keys and passwords keep theirs.
            if kind.needs_app:
                identity = _compute_identity(row, kind, oauth_app_id)
                keep_former_identity(row, identity, _IN_USE)
                _move_membership(row, kind, oauth_app_id)
            Credential.objects.filter(id=row.id).update(
                oauth_app_id=oauth_app_id,
                identity=identity,
                revision=F("revision") + 1,
                updated_at=DbNow(),
            )
            if grant is not None:
                Grant.objects.filter(id=grant.id).update(
                    oauth_app_id=oauth_app_id, **_build_refresh_columns(grant)
                )
            target = EventTarget("credential", row.account_id, row.id)
            record_change(actor, target, "credential.updated", ["oauth_app_id"])
            return True
    except IntegrityError:
        # Another transaction imported it for the other app after our check.
        raise ConflictError(_IN_USE) from None


def _build_refresh_columns(grant: Grant) -> Mapping[str, Any]:
    """Return the columns that make a failing grant due now, {} for a grant that does not fail."""
    # A grant that has ended or cannot be decrypted is no better off with another app.
    if grant.state != ACTIVE or not grant.failures or grant.next_at is None:
        return {}
    # The former app may be why it failed, so its back-off must not keep callers from the new one.
    return {**NO_FAILURES, "next_at": DbNow()}


def _check_app(row: Credential, app_id: uuid.UUID) -> None:
    apps = OAuthApp.objects.filter(account_id=row.account_id, id=app_id)
    provider = apps.values_list("provider", flat=True).first()
    if provider is None:
        raise InvalidInputError.for_field("oauth_app_id", "there is no such OAuth app")
    if provider != row.provider:
        raise InvalidInputError.for_field(
            "oauth_app_id", f"is for {provider}; this credential is for {row.provider}"
        )


def _move_membership(row: Credential, kind: Kind, app_id: uuid.UUID) -> None:
    """Compute the identity of the row's organisation again, which has the app in it."""
    parts = build_organisation_parts(kind, row.properties, app_id, external_id=None)
    if parts is not None:
        OrganisationMember.objects.filter(account_id=row.account_id, credential_id=row.id).update(
            organisation=compute_identity(row.account_id, parts)
        )


def _compute_identity(row: Credential, kind: Kind, app_id: uuid.UUID) -> bytes:
    """Return the identity under another app. Decrypts the secrets only if they are part of it."""
    has_public_identity = row.external_id or (
        get_identity_values(kind, row.properties) is not None and not kind.identity_with_secret
    )
    secrets = {} if has_public_identity else decrypt_secrets(row)
    parts = build_identity_parts(kind, row.properties, secrets, app_id, row.external_id or None)
    return compute_identity(row.account_id, parts)
