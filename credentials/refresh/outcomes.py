"""Outcomes of an attempt. Each is written once, if generation and owner are still the claim's.

Every function but `store_token_update` runs its own transaction and returns False if the grant was
replaced or deleted in the meantime; nothing is written then.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections.abc import Callable
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from common.backoff import get_backoff
from common.concurrency import sleep
from common.db.clock import DbNow
from credentials.core.grant_state import ENDED_GRANT, NEEDS_REAUTH, NO_LEASE, PAUSED
from credentials.core.moved_identity import keep_moved_identity
from credentials.core.refresh_tokens import record_refresh
from credentials.health.evidence import Evidence, Source, Verdict
from credentials.health.queries import lock_with_probe_state, update_row
from credentials.health.services import (
    evaluate_evidence,
    record_app_evidence,
    record_evidence,
    record_granted_scopes,
)
from credentials.models import AppPause, Credential, Grant
from credentials.refresh import schedule
from credentials.refresh.app_pauses import end_pause, is_given_up, reject_app
from credentials.refresh.lease import filter_claimed, release_lease
from credentials.refresh.orphaned_tokens import schedule_orphan_revocation
from credentials.refresh.token_update import (
    TokenUpdate,
    build_credential_columns,
    build_grant_columns,
    is_stored,
)
from credentials.refresh.types import RefreshClaim
from credentials.refresh.unreadable_responses import (
    describe_kept_response,
    keep_unreadable_response,
)
from credentials.restore.holds import is_restored
from events.services import EventTarget, NewEvent, record_event
from oauth_apps.protocol import OAuth2Error
from webhooks.changes import record_changes

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger(__name__)

REVOKED: Final = "revoked_or_expired"
RESPONSE_LOST: Final = "rotation_response_lost"
EXHAUSTED: Final = "refresh_exhausted"
RESTORED: Final = "database_restored"
UNDECRYPTABLE: Final = "undecryptable"
CIRCUIT_OPEN: Final = "circuit_open"

COMMIT_SECONDS: Final = 18.0
"""Seconds after the claim at which no write is started any more. The lease is renewed until then."""

_FIRST_COMMIT_DELAY: Final = 0.1
_LONGEST_COMMIT_DELAY: Final = 1.0

# Rejections that no table of error codes explains: they count against the grant after days only.
_UNKNOWN_REJECTIONS: Final = frozenset({"unknown_error", "invalid_request", "invalid_token"})
# Seconds after a pause of its app that a row which caused it is tried again.
_AFTER_PAUSE: Final = 30

_OUTCOME_UNKNOWN: Final[dict[str, Any]] = {"unknowns": F("unknowns") + 1}
"""The provider may have replaced the grant."""


def _retry_commit(
    write: Callable[Concatenate[RefreshClaim, P], T],
) -> Callable[Concatenate[RefreshClaim, P], T]:
    """Run `write` in a transaction, again on a new connection until the lease is about to end.

    `write` must recognise what it wrote before: a COMMIT may work although its response is lost.
    The function raises the last OperationalError or InterfaceError.
    """

    @functools.wraps(write)
    def write_durably(claim: RefreshClaim, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # A caller gets its response within 20 s. No caller waits for a call that took longer.
        end = max(claim.start_seconds + COMMIT_SECONDS, time.monotonic() + COMMIT_SECONDS / 4)
        failures = 0
        while True:
            try:
                with transaction.atomic():
                    return write(claim, *args, **kwargs)
            except (OperationalError, InterfaceError) as error:
                failures += 1
                delay = get_backoff(
                    failures, first=_FIRST_COMMIT_DELAY, longest=_LONGEST_COMMIT_DELAY
                )
                if connection.in_atomic_block or time.monotonic() + delay > end:
                    raise
                id = str(claim.row.id)
                log.warning("refresh.commit_failed", id=id, error=type(error).__name__)
                sleep(delay)

    return write_durably


def store_success(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Store the new grant.

    Raises OperationalError or InterfaceError if the database does not accept it in time.
    """
    try:
        return _store_durably(claim, update)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # A bug in events, health or webhooks must not cost the grant.
        log.exception("refresh.side_effect_failed", id=str(claim.row.id))
        return _store_durably(claim, update, bare=True)


@_retry_commit
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


@_retry_commit
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
    _record_app_health(claim, "app", note=note, code=error.code)
    return AppRejection(app_is_paused=True, retry_after=pause_seconds)


@_retry_commit
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
            delay, claim.grace_seconds, claim.seconds_in_doubt
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


@_retry_commit
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


@_retry_commit
def store_missing_refresh_token(claim: RefreshClaim) -> bool:
    """Stop refreshing a grant without a refresh token: it is used until it expires."""
    return _settle_claim(claim, next_at=None)


def reschedule_claim(claim: RefreshClaim, seconds: float) -> bool:
    """Release the grant, whose app or host has no free slot, and try again in `seconds`."""
    next_at = DbNow() + dt.timedelta(seconds=seconds)
    return _settle_claim(claim, next_at=next_at)


@_retry_commit
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


@_retry_commit
def _store_durably(claim: RefreshClaim, update: TokenUpdate, *, bare: bool = False) -> bool:
    return store_token_update(claim, update, bare=bare)


def store_token_update(claim: RefreshClaim, update: TokenUpdate, *, bare: bool = False) -> bool:
    """Store the new grant in the caller's transaction, if the row still has the grant before it.

    `bare` leaves out health and webhooks.
    """
    # Read again: an import may have changed other columns in the meantime, and these stay.
    locked = lock_with_probe_state(claim.row.account_id, claim.row.id)
    if locked is None or not _store_grant(claim, update, locked.now):
        return _settle_conflict(claim, update)
    row = locked.row
    row.grant = claim.grant
    record_granted_scopes(locked, update.properties)
    values = build_credential_columns(row, update, locked.now)
    former_fingerprints = row.fingerprints
    for name, value in values.items():
        setattr(row, name, value)
    record_refresh(row, former_fingerprints)
    if bare:
        update_row(Credential, row.id, values)
        target = EventTarget("credential", row.account_id, row.id)
        record_event(claim.actor, target, "credential.refreshed")
        return True
    evidence = Evidence(source="refresh", verdict="ok", note="", code="")
    effect = evaluate_evidence(locked, evidence)
    update_row(Credential, row.id, {**values, **effect.columns})
    events = [NewEvent("credential.refreshed", row.id), *effect.events]
    if update.properties:
        keep_moved_identity(row, update.properties)
        names = [f"properties.{name}" for name in update.properties]
        events.append(NewEvent("credential.updated", row.id, names))
    record_changes(claim.actor, row.account_id, "credential", events)
    app = claim.row.oauth_app
    if app is not None and hasattr(app, "refresh_pause"):
        end_pause(app.id)
    if app is not None and app.health.get("status") != "ok":
        _record_app_health(claim, "ok")
    return True


def store_recovered_tokens(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Store tokens that were found later, for a grant that the provider has rejected since.

    Leaves out health and webhooks: only the next refresh shows if the provider accepts them.
    """
    return _store_durably(claim, update, bare=True)


def _store_grant(claim: RefreshClaim, update: TokenUpdate, now: dt.datetime) -> bool:
    """Store the next generation of the grant. Return False if the claim's was replaced already."""
    values = build_grant_columns(claim.grant, update, now)
    fence: dict[str, Any] = {"generation": claim.generation}
    if not update_row(Grant, claim.grant.id, values, {**fence, "lease_owner": claim.owner}):
        # The lease may have expired, but the grant is still the one that was used: this is its only
        # successor.
        if not update_row(Grant, claim.grant.id, values, fence):
            return False
        log.warning("refresh.lost_lease", id=str(claim.row.id))
    return True


def _settle_conflict(claim: RefreshClaim, update: TokenUpdate) -> bool:
    """Discard the response for a grant that is gone. Return True if it is already stored."""
    row = Credential.objects.select_related("grant").filter(id=claim.row.id).first()
    if row is not None and is_stored(row, update):
        return True
    if row is not None:
        release_lease(claim)
    log.warning("refresh.superseded", id=str(claim.row.id), deleted=row is None)
    schedule_orphan_revocation(claim, update, successor=row)
    return False


def _settle_claim(claim: RefreshClaim, **values: Any) -> bool:
    """End the lease and write `values`, if the grant is still the claim's."""
    # The health of the credential is written next. All transactions lock it before its grant.
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    list(rows.filter(id=claim.row.id).values_list("id"))
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


def _record_app_health(
    claim: RefreshClaim, verdict: Verdict, *, note: str = "", code: str = ""
) -> None:
    if claim.row.oauth_app_id is not None:
        record_app_evidence(
            account_id=claim.row.account_id,
            app_id=claim.row.oauth_app_id,
            evidence=Evidence(source="refresh", verdict=verdict, note=note, code=code),
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
