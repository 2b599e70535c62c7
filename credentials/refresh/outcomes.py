"""Outcomes of an attempt that brought no token (otherwise: token_storage.py).

Each is written once, in its own transaction, if generation and owner are still the claim's. If the
grant was replaced or deleted in the meantime, nothing is written, and False or None is returned.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, NamedTuple

import structlog
from django.db.models import F
from django.db.models.functions import Greatest

from common.db.clock import DbNow
from credentials.core.grant_state import ENDED_GRANT, NEEDS_REAUTH, NO_LEASE, PAUSED
from credentials.health.evidence import Evidence, Source, Verdict
from credentials.health.services import record_app_evidence, record_evidence
from credentials.models import AppPause, Credential, Grant
from credentials.refresh import schedule
from credentials.refresh.app_pauses import is_given_up, reject_app
from credentials.refresh.commit_retry import retry_commit
from credentials.refresh.lease import filter_claimed, release_lease
from credentials.refresh.types import RefreshClaim
from credentials.refresh.unreadable_responses import (
    describe_kept_response,
    keep_unreadable_response,
)
from credentials.restore.holds import is_restored
from events.services import EventTarget, record_event
from oauth_apps.protocol import OAuth2Error

log = structlog.get_logger(__name__)

REVOKED: Final = "revoked_or_expired"
RESPONSE_LOST: Final = "rotation_response_lost"
EXHAUSTED: Final = "refresh_exhausted"
RESTORED: Final = "database_restored"
UNDECRYPTABLE: Final = "undecryptable"
CIRCUIT_OPEN: Final = "circuit_open"

# Rejections that no table of error codes explains: they count against the grant after days only.
_UNKNOWN_REJECTIONS: Final = frozenset({"unknown_error", "invalid_request", "invalid_token"})
# Seconds after a pause of its app that a row which caused it is tried again.
_AFTER_PAUSE: Final = 30

_OUTCOME_UNKNOWN: Final[dict[str, Any]] = {"unknowns": F("unknowns") + 1}
"""The provider may have replaced the grant."""


@retry_commit
def store_rejection(claim: RefreshClaim, error: OAuth2Error) -> bool:
    """End the grant, which the provider rejects, and notify once."""
    code, note = error.code[:64], error.detail
    if error.code == "invalid_grant":
        # A provider that does not rotate never had a next grant to lose.
        may_be_lost = claim.may_have_succeeded_before and claim.rotates is not False
        code = RESPONSE_LOST if may_be_lost else REVOKED
        if is_restored(claim.row):
            code = RESTORED
        note = _REJECTION_NOTES[code]
        if may_be_lost and (kept := describe_kept_response(claim)):
            note = f"{kept} The provider rejects the former grant. {_CONNECT_AGAIN}"
    if not _settle_claim(claim, **{**ENDED_GRANT, "error": code}):
        return False
    target = EventTarget("credential", claim.row.account_id, claim.row.id)
    record_event(claim.actor, target, "credential.needs_reauth")
    _record_health(claim, "rejected", note=note, code=code)
    return True


class AppRejection(NamedTuple):
    """The result for the caller after the provider rejected the app; `retry_after` in seconds."""

    app_is_paused: bool
    retry_after: float


@retry_commit
def store_app_rejection(
    claim: RefreshClaim, error: OAuth2Error, *, canary_rejected: bool = False
) -> AppRejection | None:
    """Store that the provider rejects the app, by the word of this grant.

    The app is paused only if an independent grant agrees (`app_pauses`); otherwise the rejection
    counts as one of this grant. Returns None if the claim was lost.
    """
    row, grant = claim.row, claim.grant
    delay = schedule.compute_retry_delay(
        grant.failures + 1, failing_for=0, retry_after=error.retry_after
    )
    if not _settle_claim(
        claim,
        failures=F("failures") + 1,
        failing_since=grant.failing_since or claim.claimed_at,
        error=error.code[:64],
        next_at=DbNow() + dt.timedelta(seconds=delay),
    ):
        return None
    pause_seconds = reject_app(claim, error, canary_rejected=canary_rejected)
    if pause_seconds is None:
        _count_rejection(claim, error)
        return AppRejection(app_is_paused=False, retry_after=delay)
    pause = AppPause.objects.get(oauth_app_id=row.oauth_app_id)
    rows = Credential.objects.filter(id__in=[row.id, pause.credential_id])
    suspects = Grant.objects.filter(id__in=rows.values("grant_id"))
    # The grants that were rejected are tried after the others when the pause ends: one of the others
    # may end the pause for good.
    next_at = pause.until + dt.timedelta(seconds=_AFTER_PAUSE)
    suspects.update(rejected_since=None, next_at=next_at)
    note = f"{error.detail} Credential {pause.credential_id} was rejected first."
    if row.oauth_app_id is not None:
        record_event(
            claim.actor,
            EventTarget("oauth_app", row.account_id, row.oauth_app_id),
            "oauth_app.paused",
            detail={
                "code": pause.code,
                "rejected_first": str(pause.credential_id),
                "rejected_again": str(row.id),
                "seconds": round(pause_seconds),
            },
        )
        record_app_evidence(
            account_id=row.account_id,
            app_id=row.oauth_app_id,
            evidence=Evidence(source="refresh", verdict="app", note=note, code=error.code),
            actor=claim.actor,
        )
    return AppRejection(app_is_paused=True, retry_after=pause_seconds)


@retry_commit
def store_failure(claim: RefreshClaim, error: OAuth2Error) -> float | None:
    """Reschedule the refresh after a failure that neither the grant nor the app caused.

    Returns the seconds until the next attempt, or None if the claim was lost. Changes the grant only
    if it has been rejected for days while other grants of its app work.
    """
    since = claim.grant.failing_since or claim.claimed_at
    failing_for = (claim.claimed_at - since).total_seconds()
    delay = schedule.compute_retry_delay(
        claim.grant.failures + 1, failing_for=failing_for, retry_after=error.retry_after
    )
    changed_nothing = not error.sent or error.code in {"rate_limited", "invalid_request"}
    in_doubt = claim.may_have_succeeded_before or not changed_nothing
    if in_doubt and claim.grace_seconds:
        delay = schedule.compute_delay_within_grace(
            delay,
            claim.grace_seconds,
            claim.seconds_in_doubt,
            retry_after=error.retry_after,
        )
    if not _settle_claim(
        claim,
        failures=F("failures") + 1,
        failing_since=since,
        error=error.code[:64],
        next_at=DbNow() + dt.timedelta(seconds=delay),
        **({} if changed_nothing else _OUTCOME_UNKNOWN),
    ):
        return None
    if error.code in _UNKNOWN_REJECTIONS:
        _count_rejection(claim, error)
    else:
        note = error.detail
        if error.unreadable is not None:
            note = keep_unreadable_response(claim, error.unreadable)
        _record_health(claim, "unavailable", note=note, code=error.code[:64])
    return delay


@retry_commit
def store_undecryptable(claim: RefreshClaim) -> bool:
    """Pause the grant, which cannot be decrypted, until the key is back or an import replaces it."""
    if not _settle_claim(
        claim,
        state=PAUSED,
        error=UNDECRYPTABLE,
        next_at=DbNow() + dt.timedelta(seconds=schedule.compute_pause()),
    ):
        return False
    note = "The stored secret cannot be decrypted with the keys of this server."
    _record_health(claim, "rejected", note=note, code=UNDECRYPTABLE, source="seal")
    return True


@retry_commit
def store_missing_refresh_token(claim: RefreshClaim) -> bool:
    """Stop refreshing a grant without a refresh token: it is used until it expires."""
    return _settle_claim(claim, next_at=None)


def reschedule_claim(claim: RefreshClaim, seconds: float) -> bool:
    """Release the grant, whose app or host has no free slot, and try again in `seconds`."""
    next_at = DbNow() + dt.timedelta(seconds=seconds)
    return _settle_claim(claim, next_at=next_at)


@retry_commit
def store_open_circuit(claim: RefreshClaim, seconds: float) -> bool:
    """Try again in `seconds`, because the provider did not respond to the last calls of this process.

    The grant shows why it is not refreshed, although no request was sent for it.
    """
    if not _settle_claim(
        claim,
        # Callers wait for the next attempt instead of claiming the grant again and again.
        failures=Greatest("failures", 1),
        error=CIRCUIT_OPEN,
        next_at=DbNow() + dt.timedelta(seconds=seconds),
    ):
        return False
    note = (
        "The provider did not respond to several requests in a row, so for a short time it gets no more."
        " The cause is not this credential."
    )
    _record_health(claim, "unavailable", note=note, code=CIRCUIT_OPEN)
    return True


def _settle_claim(claim: RefreshClaim, **values: Any) -> bool:
    """End the lease and write `values`, if the grant is still the claim's."""
    # The health of the credential is written next. All transactions lock it before its grant.
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    list(rows.filter(id=claim.row.id).values_list("id"))
    if not claim.may_have_succeeded_before and "unknowns" not in values:
        values["in_doubt_since"] = None
    if filter_claimed(claim).update(**{**NO_LEASE, **values}):
        return True
    release_lease(claim)
    return False


def _count_rejection(claim: RefreshClaim, error: OAuth2Error) -> None:
    """Note since when this grant alone is rejected, and give it up after days of that."""
    since = claim.grant.rejected_since
    grants = Grant.objects.filter(id=claim.grant.id)
    if since is None or not is_given_up(claim, since):
        if since is None:
            grants.update(rejected_since=claim.claimed_at)
        _record_health(claim, "unavailable", note=error.detail, code=error.code[:64])
        return
    # Callers get needs_reauth, but the worker tries once a day: a success restores the grant.
    grants.update(
        state=NEEDS_REAUTH,
        error=EXHAUSTED,
        next_at=DbNow() + dt.timedelta(seconds=schedule.REJECTED_RETRY),
    )
    _record_health(claim, "rejected", note=_REJECTION_NOTES[EXHAUSTED], code=EXHAUSTED)
    if claim.grant.state != NEEDS_REAUTH:
        target = EventTarget("credential", claim.row.account_id, claim.row.id)
        record_event(claim.actor, target, "credential.needs_reauth")


def _record_health(
    claim: RefreshClaim, verdict: Verdict, *, note: str, code: str, source: Source = "refresh"
) -> None:
    record_evidence(
        account_id=claim.row.account_id,
        credential_id=claim.row.id,
        evidence=Evidence(source=source, verdict=verdict, note=note, code=code),
        actor=claim.actor,
    )


_CONNECT_AGAIN: Final = "Connect it again."
_REJECTION_NOTES: Final = {
    RESTORED: (
        "Latchkey's database was restored to an earlier state, and the provider rejects the stored"
        " grant, which may have been replaced since then. Connect it again."
    ),
    EXHAUSTED: (
        "The provider has rejected every refresh for days and gives no reason that is known, while"
        " other grants of the same app work. The grant may be revoked or expired. Connect it again."
    ),
    REVOKED: "The provider rejects the grant: it is revoked or expired. Connect it again.",
    RESPONSE_LOST: (
        "The provider rejects the stored grant. An earlier response, with the next grant, may never have"
        f" arrived, or the grant is revoked or expired. {_CONNECT_AGAIN}"
    ),
}
