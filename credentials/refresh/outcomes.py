"""What an attempt came to, written once: each compares generation and owner with the claim's.

Every function here but `store` runs one transaction of its own and answers whether it still counted.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import F

from common.db.clock import DbNow
from credentials.core.grant_state import ENDED_GRANT, NO_LEASE, PAUSED
from credentials.health.queries import lock_with_probe_state, update_row
from credentials.health.services import evaluate_evidence
from credentials.models import AppPause, Credential
from credentials.refresh import orphaned_tokens, schedule
from credentials.refresh.commit_retry import commit_with_retry
from credentials.refresh.health_events import REFRESH_ACCEPTED, record_app_health, record_health
from credentials.refresh.lease import filter_claimed, release_lease
from credentials.refresh.token_update import TokenUpdate, build_refresh_columns, is_stored
from credentials.refresh.types import RefreshClaim
from events.services import EventTarget, NewEvent, record_event
from oauth_apps.protocol import OAuth2Error
from webhooks.changes import record_changes

log = structlog.get_logger(__name__)

REVOKED: Final = "revoked_or_expired"
RESPONSE_LOST: Final = "rotation_response_lost"
EXHAUSTED: Final = "refresh_exhausted"
UNDECRYPTABLE: Final = "undecryptable"

_KNOWN: Final[dict[str, Any]] = {"refresh_unknowns": F("refresh_unknowns") - 1}
"""The attempt certainly changed nothing at the provider."""


def store_success(claim: RefreshClaim, renewal: TokenUpdate) -> bool:
    """Store the new grant; False where the row went another way and the answer was thrown away.

    Raises OperationalError or InterfaceError where the database does not take it in time. What
    fails beside the grant (events, health, webhooks) does not keep it from being stored.
    """
    try:
        return commit_with_retry(claim, lambda: store_token_update(claim, renewal))
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("refresh.side_effect_failed", id=str(claim.row.id))
        return commit_with_retry(claim, lambda: store_token_update(claim, renewal, bare=True))


def store_rejection(claim: RefreshClaim, error: OAuth2Error) -> bool:
    """The provider refuses the grant: final, and told once."""
    code = _refusal_code(claim, error)
    values = {**ENDED_GRANT, "refresh_error": code}

    def write() -> bool:
        if not _leave(claim, **values):
            return False
        target = EventTarget("credential", claim.row.account_id, claim.row.id)
        record_event(claim.actor, target, "credential.needs_reauth")
        record_health(claim, "rejected", note=_REASONS.get(code, error.detail), code=code)
        return True

    return commit_with_retry(claim, write)


def store_app_rejection(claim: RefreshClaim, error: OAuth2Error) -> bool:
    """The provider refuses the OAuth app: it is paused, and its credentials are left as they are."""

    def write() -> bool:
        if not _leave(claim, **_KNOWN):
            return False
        app = claim.row.oauth_app
        if app is not None:
            until = DbNow() + dt.timedelta(seconds=schedule.compute_pause())
            pause = {"revision": app.revision, "until": until, "code": error.code[:64]}
            AppPause.objects.update_or_create(oauth_app_id=app.id, defaults=pause)
            record_app_health(claim, "app", note=error.detail, code=error.code)
        return True

    return commit_with_retry(claim, write)


def store_failure(claim: RefreshClaim, error: OAuth2Error) -> bool:
    """Nobody's fault: try again, ever less often. Never touches the grant."""
    row = claim.row
    since = row.refresh_failing_since or claim.claimed_at
    failing_for = (claim.claimed_at - since).total_seconds()
    exhausted = failing_for >= schedule.EXHAUSTED_AFTER
    code = EXHAUSTED if exhausted else error.code[:64]
    wait = schedule.compute_retry_delay(
        row.refresh_failures + 1, failing_for=failing_for, retry_after=error.retry_after
    )
    values = {
        "refresh_failures": F("refresh_failures") + 1,
        "refresh_failing_since": since,
        "refresh_error": code,
        "refresh_next_at": DbNow() + dt.timedelta(seconds=wait),
        **(_KNOWN if _changed_nothing(error) else {}),
    }

    def write() -> bool:
        if not _leave(claim, **values):
            return False
        record_health(claim, "unavailable", note=error.detail, code=code)
        return True

    return commit_with_retry(claim, write)


def store_undecryptable(claim: RefreshClaim) -> bool:
    """The seal does not open: paused until another key or another import heals it."""
    values = {
        "refresh_state": PAUSED,
        "refresh_error": UNDECRYPTABLE,
        "refresh_next_at": DbNow() + dt.timedelta(seconds=schedule.compute_pause()),
        **_KNOWN,
    }

    def write() -> bool:
        if not _leave(claim, **values):
            return False
        note = "The stored secret cannot be opened with the keys of this server."
        record_health(claim, "rejected", note=note, code=UNDECRYPTABLE, source="seal")
        return True

    return commit_with_retry(claim, write)


def store_missing_refresh_token(claim: RefreshClaim) -> bool:
    """There is nothing to refresh it with: it is used until it ends."""
    return commit_with_retry(claim, lambda: _leave(claim, refresh_next_at=None, **_KNOWN))


def reschedule_claim(claim: RefreshClaim, seconds: float) -> bool:
    """It is not this grant's turn (its app or host is busy): free it, and come back then."""
    at = DbNow() + dt.timedelta(seconds=seconds)
    return _leave(claim, refresh_next_at=at, **_KNOWN)


def store_token_update(claim: RefreshClaim, renewal: TokenUpdate, *, bare: bool = False) -> bool:
    """Within the caller's transaction: the new grant, if the old one is still what the row holds.

    What an import changed meanwhile beside the grant stays: all else is taken from the row as it
    is now. `bare` leaves health and webhooks out.
    """
    found = lock_with_probe_state(claim.row.account_id, claim.row.id)
    if found is None or found.row.generation != claim.generation:
        return _settle_conflict(claim, renewal)
    row = found.row
    if row.lease_owner != claim.owner:
        # Ours took too long, but the grant is still the one we used: ours is its only successor.
        log.warning("refresh.lost_lease", id=str(row.id))
    values = build_refresh_columns(row, renewal, found.now)
    for name, value in values.items():
        setattr(row, name, value)
    if bare:
        update_row(Credential, row.id, values)
        target = EventTarget("credential", row.account_id, row.id)
        record_event(claim.actor, target, "credential.refreshed")
        return True
    effect = evaluate_evidence(found, REFRESH_ACCEPTED)
    update_row(Credential, row.id, {**values, **effect.columns})
    events = [NewEvent("credential.refreshed", row.id), *effect.events]
    record_changes(claim.actor, row.account_id, "credential", events)
    _lift_pause(claim)
    return True


def _settle_conflict(claim: RefreshClaim, renewal: TokenUpdate) -> bool:
    """The row is of another generation, or gone. True where that generation is this very answer."""
    now = Credential.objects.filter(id=claim.row.id).first()
    if now is not None and is_stored(now, renewal):
        return True
    if now is not None:
        release_lease(claim)
    log.warning("refresh.superseded", id=str(claim.row.id), deleted=now is None)
    orphaned_tokens.schedule_orphan_revocation(claim, renewal, successor=now)
    return False


def _leave(claim: RefreshClaim, **values: Any) -> bool:
    if filter_claimed(claim).update(**{**NO_LEASE, **values}):
        return True
    release_lease(claim)
    return False


def _lift_pause(claim: RefreshClaim) -> None:
    app = claim.row.oauth_app
    if app is None:
        return
    if hasattr(app, "refresh_pause"):
        AppPause.objects.filter(oauth_app_id=app.id).delete()
    if app.health.get("status") != "ok":
        record_app_health(claim, "ok")


def _refusal_code(claim: RefreshClaim, error: OAuth2Error) -> str:
    if error.code != "invalid_grant":
        return error.code[:64]
    return RESPONSE_LOST if claim.may_have_succeeded_before else REVOKED


def _changed_nothing(error: OAuth2Error) -> bool:
    return not error.sent or error.code in {"rate_limited", "invalid_request"}


_REASONS: Final = {
    REVOKED: "The provider refuses the grant: it is revoked or expired. Connect it again.",
    RESPONSE_LOST: (
        "An earlier answer of the provider, with the grant's successor, never arrived, and it"
        " refuses the one that is held. Connect it again."
    ),
}
