"""Changing what a credential's properties say beside its secrets: a page size, a region, a label."""

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
from common.errors import ConflictError, InvalidInputError
from common.strict_json import is_equal
from credentials.core.grant_state import ACTIVE
from credentials.core.locks import lock_credential
from credentials.models import Credential
from credentials.refresh.on_import import compute_first_refresh_at
from events.services import record_event
from providers.kinds import Kind
from providers.properties import validate_properties
from providers.registry import get_registry
from webhooks.services import enqueue_webhook


def credential_update_properties(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    properties: dict[str, Any],
    if_match: ETags | None = None,
) -> None:
    """Set these properties, none of them a secret; None takes one away. Opens no seal.

    Raises NotFound, PreconditionFailed, Conflict for a kind that this server no longer knows, or
    Invalid: also for what says which upstream account it is, as another one's is another credential.
    """
    with transaction.atomic():
        row = lock_credential(account_id, id, if_match)
        kind = get_registry().get_kind(row.kind)
        if kind is None:
            raise ConflictError("This server no longer knows the credential's kind.")
        _refuse_fixed(kind, row, properties)
        shown = _amended(kind, row, properties)
        changed = [n for n in properties if not is_equal(shown.get(n), row.properties.get(n))]
        if not changed:
            return
        columns: dict[str, Any] = {"properties": shown}
        if "expires_at" in changed:
            columns |= _end(kind, row, datetimes.parse_rfc3339(shown.get("expires_at")))
        Credential.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        record_event(
            actor=actor,
            account_id=account_id,
            verb="credential.updated",
            target_type="credential",
            target_id=id,
            changed=[f"properties.{name}" for name in changed],
        )
        enqueue_webhook(account_id=account_id, type="credential.updated", target_id=id)


def _end(kind: Kind, row: Credential, expires_at: dt.datetime | None) -> dict[str, Any]:
    """When the token ends, and with it when the worker gets another."""
    columns: dict[str, Any] = {"expires_at": expires_at}
    if row.refresh_state == ACTIVE:
        columns["refresh_next_at"] = compute_first_refresh_at(
            kind,
            row.fingerprints,
            expires_at=expires_at,
            obtained_at=row.obtained_at,
            now=db_now(),
        )
    return columns


def _refuse_fixed(kind: Kind, row: Credential, properties: dict[str, Any]) -> None:
    """Raise Invalid for secrets, and for another value of what tells the upstream account."""
    told_by = set() if row.external_id else {part.field for part in kind.identity}
    faults: dict[str, list[str]] = {}
    for name, value in properties.items():
        if name in kind.secret_fields:
            faults[f"properties.{name}"] = ["is a secret; rotate it"]
        elif name in {"kind", "provider", *told_by} and not is_equal(
            value, row.properties.get(name)
        ):
            reason = "says which upstream account this is; import the other one instead"
            faults[f"properties.{name}"] = [reason]
    if faults:
        raise InvalidInputError.for_fields(faults)


def _amended(kind: Kind, row: Credential, properties: dict[str, Any]) -> dict[str, Any]:
    """All properties as they will be shown; the secrets stay the masks that they are."""
    masks = {name: row.properties[name] for name in kind.secret_fields if name in row.properties}
    given = {**row.properties, **properties}
    for name in [n for n, value in given.items() if value is None or n in masks]:
        del given[name]
    shown, _ = validate_properties(kind, given, partial=True)
    merged = {**shown, **masks}
    return {name: merged[name] for name in [*row.properties, *merged] if name in merged}
