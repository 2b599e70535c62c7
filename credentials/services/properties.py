"""Change a credential's properties that are not secret: a page size, a region, a label."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db import transaction
from django.db.models import F

from common import datetimes
from common.actors import Actor
from common.api.etags import ETags
from common.db.clock import DbNow, db_now
from common.errors import InvalidInputError
from common.strict_json import is_equal
from credentials.core.grant_state import ACTIVE
from credentials.core.locks import lock_credential, lock_grant
from credentials.models import Credential, Grant
from credentials.refresh.on_import import compute_first_refresh_at
from credentials.services.preconditions import require_kind
from events.services import EventTarget
from providers.kinds import Kind
from providers.properties import validate_properties
from webhooks.outbox import record_change


def credential_update_properties(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    properties: dict[str, Any],
    if_match: ETags | None = None,
) -> None:
    """Set these properties; None removes one. Nothing is decrypted.

    Raises NotFoundError, PreconditionFailedError, ConflictError for a kind without a provider file,
    or InvalidInputError, also for a secret and for a property of the identity.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        kind = require_kind(row)
        _reject_fixed_properties(kind, row, properties)
        merged = _merge_properties(kind, row, properties)
        changed = [n for n in properties if not is_equal(merged.get(n), row.properties.get(n))]
        if not changed:
            return
        columns: dict[str, Any] = {"properties": merged}
        if "expires_at" in changed:
            columns["expires_at"] = datetimes.parse_rfc3339(merged.get("expires_at"))
            _reschedule_refresh(row, kind, columns["expires_at"])
        Credential.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        target = EventTarget("credential", account_id, id)
        record_change(
            actor, target, "credential.updated", [f"properties.{name}" for name in changed]
        )


def _reschedule_refresh(row: Credential, kind: Kind, expires_at: dt.datetime | None) -> None:
    """Move the next refresh, which comes shortly before the token expires."""
    grant = lock_grant(row)
    # A leased grant is due until its outcome sets the next refresh.
    if grant is None or grant.state != ACTIVE or grant.lease_until is not None:
        return
    next_at = compute_first_refresh_at(
        kind,
        row.fingerprints,
        expires_at=expires_at,
        obtained_at=row.obtained_at,
        now=db_now(),
    )
    Grant.objects.filter(id=grant.id).update(next_at=next_at)


def find_identity_properties(kind: Kind, row: Credential) -> set[str]:
    """Return the properties that say which upstream account this is. They cannot be changed."""
    # With an external id, that alone is the identity.
    fields = set() if row.external_id else {part.field for part in kind.identity}
    return {"kind", "provider", *fields}


def _reject_fixed_properties(kind: Kind, row: Credential, properties: dict[str, Any]) -> None:
    fixed = find_identity_properties(kind, row)
    errors: dict[str, list[str]] = {}
    for name, value in properties.items():
        if name in kind.secret_fields:
            errors[f"properties.{name}"] = ["is a secret; rotate it"]
        elif name in fixed and not is_equal(value, row.properties.get(name)):
            reason = "identifies the upstream account; import the other account instead"
            errors[f"properties.{name}"] = [reason]
    if errors:
        raise InvalidInputError.for_fields(errors)


def _merge_properties(kind: Kind, row: Credential, properties: dict[str, Any]) -> dict[str, Any]:
    """Return all properties as they will be stored: validated, in their order, secrets masked."""
    masks = {name: row.properties[name] for name in kind.secret_fields if name in row.properties}
    candidate = {
        name: value
        for name, value in {**row.properties, **properties}.items()
        # A mask is not a valid secret, so masks are added again after the validation.
        if value is not None and name not in masks
    }
    validated, _ = validate_properties(kind, candidate, partial=True)
    merged = {**validated, **masks}
    return {name: merged[name] for name in [*row.properties, *merged] if name in merged}
