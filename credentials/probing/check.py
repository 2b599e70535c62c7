"""The check of one credential: its encryption, the provider's response, and its dates."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final, NamedTuple

from django.db import transaction

from common.actors import Actor
from common.db.clock import db_now
from common.errors import ConflictError, NotFoundError, ServiceUnavailableError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import get_grant
from credentials.core.locks import lock_grant
from credentials.health.evidence import Evidence
from credentials.health.expiry import forecast_expiry
from credentials.health.models import ProbeState
from credentials.health.services import record_evidence
from credentials.models import Credential
from credentials.probing.probes import MIN_REFRESH_INTERVAL, ProbeSubject, run_probe
from credentials.refresh import get_fresh_token
from credentials.refresh.errors import OnHoldError
from credentials.refresh.rejected_token import expire_rejected_token
from providers.kinds import Kind
from providers.registry import get_registry
from vault.sealing import SecretUnavailableError

UNDECRYPTABLE: Final = (
    "The stored secret cannot be decrypted with the keys of this server:"
    " restore the key, or import it again."
)
DECRYPTABLE_AGAIN: Final = "The stored secret can be decrypted again."
NO_PROBE: Final = (
    "The provider has no request that tests it. Refreshes, reports and dates decide instead."
)

_DATES: Final = ("expires_at", "obtained_at")


class _ProviderResult(NamedTuple):
    """`is_definite` tells whether the provider's word decides; `wait` is its Retry-After."""

    is_definite: bool
    wait: int = 0


def check_credential(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, on_demand: bool = False
) -> int:
    """Find out whether the credential works, and record the evidence.

    With `on_demand`, a kind without a probe is refreshed to find out. Returns the seconds for which
    its provider wants no more requests. Raises NotFoundError. Must not be called in a transaction.
    """
    row = (
        Credential.objects.select_related("oauth_app", "grant")
        .filter(account_id=account_id, id=id)
        .first()
    )
    if row is None:
        raise NotFoundError()
    kind = get_registry().get_kind(row.kind)
    try:
        secrets = decrypt_secrets(row)
    except SecretUnavailableError:
        evidence = Evidence(source="seal", verdict="rejected", note=UNDECRYPTABLE, code="seal")
        _record_if(_has_same_grant(row), row, evidence, actor)
        return 0
    if ProbeState.objects.filter(credential_id=row.id, cause="seal").exists():
        evidence = Evidence(source="seal", verdict="ok", note=DECRYPTABLE_AGAIN, code="seal")
        _record_if(_always, row, evidence, actor)
    if kind is None:
        return 0
    result = _ask_provider(row, kind, secrets, actor, on_demand)
    if not result.is_definite:
        _check_dates(row, kind, actor)
    return result.wait


def _ask_provider(
    row: Credential, kind: Kind, secrets: dict[str, str], actor: Actor, on_demand: bool
) -> _ProviderResult:
    provider = get_registry().get_provider(row.provider)
    if kind.probe and provider:
        subject = ProbeSubject(row, kind, provider, secrets)
        result = run_probe(subject, kind.probe, actor)
        if result is None:
            return _ProviderResult(is_definite=False)
        # A response about a secret that was replaced in the meantime says nothing of the new one.
        is_rejected = result.evidence.verdict == "rejected"

        # No caller shall get the access token that the provider rejects.
        def expire_token(locked: Credential) -> None:
            expire_rejected_token(locked, db_now(), min_interval=MIN_REFRESH_INTERVAL)

        before = expire_token if is_rejected else None
        recorded = _record_if(subject.matches, row, result.evidence, actor, before=before)
        is_definite = recorded and result.evidence.verdict in {"ok", "rejected"}
        return _ProviderResult(is_definite, result.retry_after)
    if kind.refreshes and on_demand:
        try:
            # The refresh records its own evidence.
            get_fresh_token(
                account_id=row.account_id,
                id=row.id,
                actor=actor,
                force=True,
                min_interval=MIN_REFRESH_INTERVAL,
            )
        except (ServiceUnavailableError, OnHoldError):
            return _ProviderResult(is_definite=False)
        except ConflictError:
            return _ProviderResult(is_definite=True)
        return _ProviderResult(is_definite=True)
    if on_demand:
        evidence = Evidence(source="probe", verdict="unclear", note=NO_PROBE, code="no_probe")
        _record_if(_always, row, evidence, actor)
    return _ProviderResult(is_definite=False)


def _check_dates(row: Credential, kind: Kind, actor: Actor) -> None:
    """Record what the dates alone say."""
    state = ProbeState.objects.filter(credential_id=row.id).first()
    expiry = forecast_expiry(row, kind, state.granted_at if state else None)
    now = db_now()
    if expiry and expiry.is_certain and expiry.ends_at <= now:
        note = f"It expired on {expiry.ends_at:%Y-%m-%d}."
        evidence = Evidence(source="expiry", verdict="rejected", note=note, code="expired")
    elif expiry and expiry.warn_from <= now < expiry.ends_at:
        evidence = Evidence(source="expiry", verdict="suspect", note=expiry.note, code="expiring")
    elif state and state.cause == "expiry":
        note = "It no longer expires soon."
        evidence = Evidence(source="expiry", verdict="ok", note=note, code="not_expiring")
    else:
        return
    _record_if(_has_same_grant(row), row, evidence, actor)


def _record_if(
    condition: Callable[[Credential], bool],
    row: Credential,
    evidence: Evidence,
    actor: Actor,
    *,
    before: Callable[[Credential], None] | None = None,
) -> bool:
    """Record the evidence if the row, locked and read again, meets `condition`. Return whether.

    `before` is called with the locked row before the evidence changes it.
    """
    with transaction.atomic():
        rows = Credential.objects.select_for_update(of=("self",), no_key=True)
        locked = rows.defer("metadata").filter(id=row.id).first()
        if locked is None or not condition(locked):
            return False
        if before is not None:
            before(locked)
        record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=actor
        )
    return True


def _always(locked: Credential) -> bool:
    return True


def _has_same_grant(row: Credential) -> Callable[[Credential], bool]:
    """Return a condition: the locked row has the ciphertext and the dates of `row`.

    `row` must have been read together with its grant.
    """

    def matches(locked: Credential) -> bool:
        blobs = [each.secrets.blob if each.secrets else None for each in (row, locked)]
        lock_grant(locked)
        return (
            blobs[0] == blobs[1]
            and get_grant(row).last_at == get_grant(locked).last_at
            and all(getattr(row, name) == getattr(locked, name) for name in _DATES)
        )

    return matches
