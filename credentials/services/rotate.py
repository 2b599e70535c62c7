"""New secrets for the credential that is there: its id, name and history stay.

Where the secret was what told the upstream account, the identity changes with it. The former one
stays as an alias, and the former secret's fingerprint as a known one: importing last night's file
again finds this row, and rolls nothing back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
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
from credentials.core.grant_state import NEW_GRANT, add_rotated
from credentials.core.locks import lock_credential
from credentials.health import services as health
from credentials.imports.validation import build_identity_parts
from credentials.models import Credential, CredentialAlias
from credentials.refresh.on_import import compute_first_refresh_at
from events.services import record_event
from providers.kinds import Kind
from providers.properties import validate_properties
from providers.registry import get_registry
from vault.sealing import Place, SealedValue, seal, unseal
from vault.services import compute_fingerprint, compute_identity
from webhooks.services import enqueue_webhook

_TAKEN: Final = "Another credential of this account has this identity already."


def credential_rotate(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    properties: Any,
    if_match: ETags | None = None,
) -> None:
    """Replace secrets by those in `properties`, which may also hold what comes with them (a key's id).

    Secrets that are held already are no change; nothing is written where nothing changes. Raises
    NotFound, PreconditionFailed, Invalid, or Conflict where another credential is of the account
    that these secrets are of, or where a secret is left out and the held ones do not open.
    """
    try:
        with transaction.atomic():
            row = lock_credential(account_id, id, if_match)
            _rotate(row, _kind(row), properties, actor)
    except IntegrityError:
        # Somebody imported or rotated to the same secret between our look and our write.
        raise ConflictError(_TAKEN) from None


def _rotate(row: Credential, kind: Kind, properties: Any, actor: Actor) -> None:
    shown, secrets = _checked(row, kind, properties)
    prints = {name: compute_fingerprint(row.account_id, value) for name, value in secrets.items()}
    news = sorted(n for n, print in prints.items() if [print] != row.fingerprints.get(n, [])[:1])
    merged = {**row.properties, **shown}
    if "access_token" in news and "expires_at" not in shown:
        merged.pop("expires_at", None)
    changed = news + [name for name in merged if name not in news and _differs(row, merged, name)]
    if not changed:
        return
    held = _all_secrets(row, secrets)
    columns: dict[str, Any] = {
        "properties": merged,
        "expires_at": datetimes.parse_rfc3339(merged.get("expires_at")),
        "identity": _identity(row, kind, merged, held),
        "revision": F("revision") + 1,
        "updated_at": DbNow(),
    }
    if news:
        known = _fingerprints(row, prints, news)
        columns |= _new_grant(row, kind, held, known, columns["expires_at"])
    _keep_alias(row, columns["identity"])
    Credential.objects.filter(id=row.id).update(**columns)
    if news:
        health.reset_probe_states(account_id=row.account_id, ids=[row.id])
    _announce(row, changed, actor)


def _kind(row: Credential) -> Kind:
    kind = get_registry().get_kind(row.properties["kind"])
    if kind is None:
        raise ConflictError("This server no longer knows the credential's kind.")
    if not kind.secret_fields:
        raise ConflictError(f"A {kind.name} holds no secret; there is nothing to rotate.")
    return kind


def _checked(row: Credential, kind: Kind, properties: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is shown and what is sealed of `properties`. Raises Invalid."""
    if not isinstance(properties, dict):
        raise InvalidInputError.for_field("properties", "must be an object")
    given = {**row.properties, **properties, "kind": properties.get("kind", kind.name)}
    for name in kind.secret_fields:
        if name not in properties and name in given:
            del given[name]
    shown, secrets = validate_properties(kind, given, partial=True)
    if not secrets:
        names = ", ".join(kind.secret_fields)
        raise InvalidInputError.for_field("properties", f"must have a new secret: one of {names}")
    aliases = kind.property_aliases
    shown = {aliases.get(n, n): shown[aliases.get(n, n)] for n in properties}
    _check_same_account(row, kind, shown)
    return shown, secrets


def _check_same_account(row: Credential, kind: Kind, shown: Mapping[str, Any]) -> None:
    """A user's grant is of one upstream account, and new tokens of another are another credential.

    A key's id may change with the key.
    """
    if not kind.needs_app:
        return
    for part in kind.identity:
        if part.field in shown and not is_equal(shown[part.field], row.properties.get(part.field)):
            raise InvalidInputError.for_field(
                f"properties.{part.field}", "is another upstream account's; import it instead"
            )


def _differs(row: Credential, merged: Mapping[str, Any], name: str) -> bool:
    return name not in row.properties or not is_equal(row.properties[name], merged[name])


def _all_secrets(row: Credential, secrets: Mapping[str, str]) -> dict[str, str]:
    """The given ones beside those that stay. The seal is opened only where some do."""
    held: dict[str, str] = {}
    if row.secrets is not None and set(row.fingerprints) - set(secrets):
        held = unseal(Place.of(row, "secrets"), row.secrets)
    return {**held, **secrets}


def _identity(
    row: Credential, kind: Kind, shown: Mapping[str, Any], secrets: Mapping[str, str]
) -> bytes:
    parts = build_identity_parts(kind, shown, secrets, row.oauth_app_id, row.external_id or None)
    return compute_identity(row.account_id, parts)


def _fingerprints(
    row: Credential, prints: Mapping[str, str], news: list[str]
) -> dict[str, list[str]]:
    found = dict(row.fingerprints)
    for name in news:
        found[name] = add_rotated(found.get(name, ()), prints[name])
    return found


def _new_grant(
    row: Credential,
    kind: Kind,
    held: Mapping[str, str],
    prints: dict[str, list[str]],
    expires_at: dt.datetime | None,
) -> dict[str, Any]:
    """Another secret is another grant: nothing of the old one's life is true of it."""
    now = db_now()
    sealed: SealedValue = seal(Place.of(row, "secrets"), dict(held))
    return {
        **NEW_GRANT,
        "secrets": sealed,
        "fingerprints": prints,
        "health": build_unknown_health(now),
        "obtained_at": None,
        "generation": F("generation") + 1,
        "refresh_next_at": compute_first_refresh_at(
            kind, prints, expires_at=expires_at, obtained_at=None, now=now
        ),
    }


def _keep_alias(row: Credential, new: bytes) -> None:
    """The former identity leads here from now on. Raises Conflict where the new one leads elsewhere."""
    old = bytes(row.identity)
    if old == new:
        return
    rows = Credential.objects.filter(account_id=row.account_id, identity=new).exclude(id=row.id)
    aliases = CredentialAlias.objects.filter(account_id=row.account_id)
    other = rows.values_list("id", flat=True).first()
    other = other or (
        aliases.filter(identity=new)
        .exclude(credential_id=row.id)
        .values_list("credential_id", flat=True)
        .first()
    )
    if other:
        raise ConflictError(_TAKEN, extra={"id": str(other)})
    aliases.filter(credential_id=row.id, identity=new).delete()
    CredentialAlias.objects.create(account_id=row.account_id, credential_id=row.id, identity=old)


def _announce(row: Credential, changed: list[str], actor: Actor) -> None:
    record_event(
        actor=actor,
        account_id=row.account_id,
        verb="credential.rotated",
        target_type="credential",
        target_id=row.id,
        changed=[f"properties.{name}" for name in changed],
    )
    enqueue_webhook(account_id=row.account_id, type="credential.updated", target_id=row.id)
