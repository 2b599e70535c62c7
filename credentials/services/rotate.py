"""Replace the secrets of a credential. Its id, name and history stay.

If the secret is part of the identity, the identity changes with it. The former identity stays as an
alias, and the fingerprints of former secrets are remembered, so that importing last night's file
again finds this credential and does not restore the former secret.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F

from common import datetimes
from common.actors import Actor
from common.api.etags import ETags
from common.db.clock import DbNow, db_now
from common.errors import ConflictError, InvalidInputError
from common.health import build_unknown_health
from common.strict_json import is_equal
from credentials.core import refresh_tokens
from credentials.core.encryption import decrypt_secrets, encrypt_secrets
from credentials.core.grant_state import NEW_GRANT, add_rotated
from credentials.core.locks import lock_credential, lock_grant
from credentials.health.services import reset_probe_states
from credentials.imports.secret_input import clean_properties, reject_placeholders
from credentials.imports.validation import build_identity_parts
from credentials.models import Credential, Grant
from credentials.refresh.on_import import compute_first_refresh_at
from credentials.services.preconditions import keep_former_identity, require_kind
from events.services import EventTarget
from providers.kinds import Kind
from providers.properties import validate_properties
from vault.services import compute_fingerprint, compute_identity
from webhooks.outbox import record_change

_IN_USE: Final = "Another credential of this account already has this identity or refresh token."


def credential_rotate(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    properties: object,
    if_match: ETags | None = None,
) -> None:
    """Replace the secrets in `properties`, which can also contain what belongs to them (a key's id).

    A secret equal to the stored one is no change; without any change nothing is written.

    Raises NotFoundError, PreconditionFailedError or InvalidInputError; ConflictError if another
    credential has the identity of these secrets, or for a kind without secrets; TokenInUseError if
    another credential has the refresh token; SecretUnavailableError if a secret is left out and the
    stored ones cannot be decrypted.
    """
    try:
        with transaction.atomic():
            row = lock_credential(account_id, id, if_match)
            kind = require_kind(row)
            if not kind.secret_fields:
                raise ConflictError(
                    f"Credentials of the kind {kind.name} have no secret to rotate."
                )
            _rotate(row, kind, properties, actor)
    except IntegrityError:
        # Another transaction imported or rotated to the same secret after our check.
        raise ConflictError(_IN_USE) from None


def _rotate(row: Credential, kind: Kind, properties: object, actor: Actor) -> None:
    public, secrets = _validate(row, kind, properties)
    fingerprints = {
        name: compute_fingerprint(row.account_id, value) for name, value in secrets.items()
    }
    new_secrets = sorted(
        name
        for name, value in fingerprints.items()
        if row.fingerprints.get(name, [])[:1] != [value]
    )
    merged = {**row.properties, **public}
    if "access_token" in new_secrets and "expires_at" not in public:
        # The stored end was that of the former token.
        merged.pop("expires_at", None)
    changed = new_secrets + [
        name
        for name, value in merged.items()
        if name not in new_secrets
        and not (name in row.properties and is_equal(row.properties[name], value))
    ]
    if not changed:
        return
    # A row that cannot be decrypted is repaired by sending all of its secrets.
    if row.secrets is not None and set(row.fingerprints) - set(secrets):
        secrets = {**decrypt_secrets(row), **secrets}
    parts = build_identity_parts(kind, merged, secrets, row.oauth_app_id, row.external_id or None)
    identity = compute_identity(row.account_id, parts)
    expires_at = datetimes.parse_rfc3339(merged.get("expires_at"))
    columns: dict[str, Any] = {
        "properties": merged,
        "expires_at": expires_at,
        "identity": identity,
        "revision": F("revision") + 1,
        "updated_at": DbNow(),
    }
    if new_secrets:
        new_fingerprints = {name: fingerprints[name] for name in new_secrets}
        if token := new_fingerprints.get(refresh_tokens.FIELD):
            refresh_tokens.require_free_token(row, kind, token)
        columns |= _build_secret_columns(row, secrets, new_fingerprints)
        refresh_tokens.record_rotation(row, kind, columns["fingerprints"])
    keep_former_identity(row, identity, _IN_USE)
    Credential.objects.filter(id=row.id).update(**columns)
    if new_secrets:
        _reset_grant(row, kind, columns["fingerprints"], expires_at)
        reset_probe_states(account_id=row.account_id, ids=[row.id])
    target = EventTarget("credential", row.account_id, row.id)
    record_change(
        actor,
        target,
        "credential.rotated",
        [f"properties.{name}" for name in changed],
        webhook="credential.updated",
    )


def _validate(
    row: Credential, kind: Kind, properties: object
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the public properties and the secrets of `properties`. Raises InvalidInputError."""
    if not isinstance(properties, dict):
        raise InvalidInputError.for_field("properties", "must be an object")
    properties = clean_properties(kind, properties).properties
    candidate = {**row.properties, **properties, "kind": properties.get("kind", kind.name)}
    for name in kind.secret_fields:
        if name not in properties:
            # What is stored there is the mask, which is not a valid secret.
            candidate.pop(name, None)
    public, secrets = validate_properties(kind, candidate, partial=True)
    if not secrets:
        names = ", ".join(kind.secret_fields)
        raise InvalidInputError.for_field("properties", f"must have a new secret: one of {names}")
    reject_placeholders(secrets)
    names_sent = [kind.property_aliases.get(name, name) for name in properties]
    public = {name: public[name] for name in names_sent}
    # Tokens of another upstream account are another credential. The id of a key, however, can change
    # with the key.
    for part in kind.identity if kind.needs_app else ():
        value = public.get(part.field)
        if part.field in public and not is_equal(value, row.properties.get(part.field)):
            raise InvalidInputError.for_field(
                f"properties.{part.field}", "identifies another upstream account; import it instead"
            )
    return public, secrets


def _build_secret_columns(
    row: Credential, secrets: Mapping[str, str], fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """Return the columns of the new secrets. `fingerprints` are those of the changed ones."""
    history = dict(row.fingerprints)
    for name, value in fingerprints.items():
        history[name] = add_rotated(history.get(name, ()), value)
    return {
        "secrets": encrypt_secrets(row.account_id, row.id, secrets),
        "fingerprints": history,
        "health": build_unknown_health(db_now()),
        "obtained_at": None,
    }


def _reset_grant(
    row: Credential, kind: Kind, secrets: Collection[str], expires_at: dt.datetime | None
) -> None:
    """Begin another generation: all refresh state belonged to the former secret."""
    grant = lock_grant(row)
    if grant is None:
        return
    now = db_now()
    next_at = compute_first_refresh_at(
        kind, secrets, expires_at=expires_at, obtained_at=None, now=now
    )
    if grant.lease_until is not None:
        # The lease stays, because a refresh may be using a refresh token that was not replaced.
        next_at = next_at or now
    Grant.objects.filter(id=grant.id).update(
        **NEW_GRANT, generation=grant.generation + 1, next_at=next_at
    )
