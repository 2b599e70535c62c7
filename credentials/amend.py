"""Changing what a credential's properties say beside its secrets: a page size, a region, a label."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import F

from common import revisions, times
from common.callers import Actor
from common.clock import DbNow
from common.errors import Conflict, Invalid, NotFound
from common.revisions import Tags
from common.strict_json import same
from credentials.models import Credential
from events.services import record
from providers.kinds import Kind
from providers.properties import clean
from providers.registry import registry
from webhooks.services import tell


def credential_amend(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    properties: dict[str, Any],
    if_match: Tags | None = None,
) -> None:
    """Set these properties, none of them a secret; None takes one away. Opens no seal.

    Raises NotFound, PreconditionFailed, Conflict for a kind that this server no longer knows, or
    Invalid: also for what says which upstream account it is, as another one's is another credential.
    """
    with transaction.atomic():
        rows = Credential.objects.select_for_update(of=("self",), no_key=True)
        row = rows.filter(account_id=account_id, id=id).first()
        if row is None:
            raise NotFound()
        revisions.check(row.revision, if_match)
        kind = registry().kind(row.kind)
        if kind is None:
            raise Conflict("This server no longer knows the credential's kind.")
        _refuse_identity(kind, row, properties)
        shown = _amended(kind, row, properties)
        changed = [n for n in properties if not same(shown.get(n), row.properties.get(n))]
        if not changed:
            return
        columns: dict[str, Any] = {"properties": shown}
        if "expires_at" in changed:
            columns["expires_at"] = times.parse(shown.get("expires_at"))
        Credential.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        record(
            actor=actor,
            account_id=account_id,
            verb="credential.updated",
            target_type="credential",
            target_id=id,
            changed=changed,
        )
        tell(account_id=account_id, type="credential.updated", target_id=id)


def _refuse_identity(kind: Kind, row: Credential, properties: dict[str, Any]) -> None:
    fixed = {"kind", "provider", *(part.field for part in kind.identity)}
    if row.external_id:
        fixed = {"kind", "provider"}  # That alone says which upstream account it is.
    faults = {
        f"properties.{name}": ["says which upstream account this is: import the other one instead"]
        for name, value in properties.items()
        if name in fixed and not same(value, row.properties.get(name))
    }
    if faults:
        raise Invalid.many(faults)


def _amended(kind: Kind, row: Credential, properties: dict[str, Any]) -> dict[str, Any]:
    """All properties as they will be shown; the secrets stay the masks that they are."""
    masks = {name: row.properties[name] for name in kind.secret_fields if name in row.properties}
    given = {**row.properties, **properties}
    for name in [n for n, value in given.items() if value is None or n in masks]:
        del given[name]
    shown, secrets = clean(kind, given, partial=True)
    if secrets:
        raise Invalid.many({f"properties.{n}": ["is a secret; rotate it"] for n in secrets})
    merged = {**shown, **masks}
    return {name: merged[name] for name in [*row.properties, *merged] if name in merged}
