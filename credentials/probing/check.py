"""Looking at one credential: its seal, its provider's answer, its dates; and what follows from them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from django.db import transaction

from common.actors import Actor
from common.db.clock import db_now
from common.errors import ConflictError, NotFoundError, ServiceUnavailableError
from credentials.core.encryption import decrypt_secrets
from credentials.health import services
from credentials.health.evidence import Evidence
from credentials.health.expiry import forecast_expiry
from credentials.health.models import ProbeState
from credentials.models import Credential
from credentials.probing.probes import MIN_REFRESH_INTERVAL, ProbeSubject, run_probe
from credentials.refresh import get_fresh_token
from providers.kinds import Kind
from providers.registry import get_registry
from vault.sealing import SecretUnavailableError

SHUT: Final = (
    "The stored secret cannot be decrypted with the keys of this server:"
    " restore the key, or import it again."
)
OPENS: Final = "The stored secret can be opened again."
NO_QUESTION: Final = "Its provider has no request that tells; refreshes, reports and dates decide."

_DATES: Final = ("expires_at", "obtained_at", "refresh_last_at")
_GRANT: Final = ("secrets", *_DATES)


class _Asked(NamedTuple):
    """Whether somebody has given a definite answer, and how long to leave them alone now."""

    settled: bool
    wait: int = 0


def check_credential(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, on_demand: bool = False
) -> int:
    """Find out whether the credential works, and let it have its effect.

    Returns the seconds for which its provider wants to be left alone. `on_demand`: where there is no
    probe, a refresh is made to find out. Not to be called within a transaction. Raises NotFound.
    """
    row = _read(account_id, id)
    kind = get_registry().get_kind(row.kind)
    try:
        secrets = decrypt_secrets(row)
    except SecretUnavailableError:
        evidence = Evidence(source="seal", verdict="rejected", note=SHUT, code="seal")
        _tell(row, evidence, actor, if_still=lambda held: _same_grant(row, held))
        return 0
    _tell_of_seal(row, actor)
    if kind is None:
        return 0
    asked = _ask(row, kind, secrets, actor, on_demand)
    if not asked.settled:
        _tell_of_dates(row, kind, actor)
    return asked.wait


def _ask(
    row: Credential, kind: Kind, secrets: dict[str, str], actor: Actor, on_demand: bool
) -> _Asked:
    provider = get_registry().get_provider(row.provider)
    if kind.probe and provider:
        subject = ProbeSubject(row, kind, provider, secrets)
        answer = run_probe(subject, kind.probe, actor)
        if answer is None:
            return _Asked(settled=False)
        # An answer about a secret that was replaced meanwhile says nothing of the one that is there.
        told = _tell(row, answer.evidence, actor, if_still=subject.matches)
        settled = told and answer.evidence.verdict in {"ok", "rejected"}
        return _Asked(settled, answer.retry_after)
    if kind.refreshes and on_demand:
        return _Asked(_refreshed(row, actor))
    if on_demand:
        note = Evidence(source="probe", verdict="unclear", note=NO_QUESTION, code="no_probe")
        _tell(row, note, actor)
    return _Asked(settled=False)


def _read(account_id: uuid.UUID, id: uuid.UUID) -> Credential:
    rows = Credential.objects.select_related("oauth_app")
    row = rows.filter(account_id=account_id, id=id).first()
    if row is None:
        raise NotFoundError()
    return row


def _refreshed(row: Credential, actor: Actor) -> bool:
    """Whether a refresh, which is evidence by itself, has settled it."""
    try:
        get_fresh_token(
            account_id=row.account_id,
            id=row.id,
            actor=actor,
            force=True,
            min_interval=MIN_REFRESH_INTERVAL,
        )
    except ServiceUnavailableError:
        return False
    except ConflictError:
        return True
    return True


def _tell(
    row: Credential,
    evidence: Evidence,
    actor: Actor,
    *,
    if_still: Callable[[Credential], bool] = lambda held: True,
) -> bool:
    """Whether it was told: only if the row, locked and read again, still is as `if_still` says."""
    with transaction.atomic():
        rows = Credential.objects.select_for_update(of=("self",), no_key=True)
        held = rows.only(*_GRANT, "fingerprints").filter(id=row.id).first()
        if held is None or not if_still(held):
            return False
        services.record_evidence(
            account_id=row.account_id, credential_id=row.id, evidence=evidence, actor=actor
        )
    return True


def _same_grant(row: Credential, held: Credential) -> bool:
    blobs = [one.secrets.blob if one.secrets else None for one in (row, held)]
    return blobs[0] == blobs[1] and all(getattr(row, f) == getattr(held, f) for f in _DATES)


def _tell_of_seal(row: Credential, actor: Actor) -> None:
    if ProbeState.objects.filter(credential_id=row.id, cause="seal").exists():
        _tell(row, Evidence(source="seal", verdict="ok", note=OPENS, code="seal"), actor)


def _tell_of_dates(row: Credential, kind: Kind, actor: Actor) -> None:
    """What the calendar alone says, where nobody else has said anything."""
    state = ProbeState.objects.filter(credential_id=row.id).first()
    end = forecast_expiry(row, kind, state.granted_at if state else None)
    now = db_now()
    verdict: Mapping[str, Any]
    if end and end.is_certain and end.ends_at <= now:
        verdict = {
            "verdict": "rejected",
            "note": f"It expired on {end.ends_at:%Y-%m-%d}.",
            "code": "expired",
        }
    elif end and end.warn_from <= now < end.ends_at:
        verdict = {"verdict": "suspect", "note": end.note, "code": "expiring"}
    elif state and state.cause == "expiry":
        verdict = {"verdict": "ok", "note": "It no longer ends soon.", "code": "not_expiring"}
    else:
        return
    evidence = Evidence(source="expiry", **verdict)
    _tell(row, evidence, actor, if_still=lambda held: _same_grant(row, held))
