"""The only writer of health. Evidence and all that follows from it are one transaction.

That is the row's health, its history, an event, a webhook and a mail to the owner. `revision` stays:
it is the version of what people edit, and a probe must not fail their If-Match. `updated_at` changes
with the status alone.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from django.db import transaction

from common.actors import Actor
from common.datetimes import parse_rfc3339
from common.db.clock import DbNow, db_now
from common.text import escape_name
from credentials.core.token_properties import SCOPE_FIELDS, find_lost_scopes, split_scopes
from credentials.health.evidence import Evidence
from credentials.health.expiry import ExpiryForecast, forecast_expiry
from credentials.health.models import ProbeState
from credentials.health.notification_queue import enqueue_owner_mail
from credentials.health.outage_detection import (
    build_outage_note,
    find_affected_credentials,
    is_outage,
)
from credentials.health.queries import (
    LockedCredential,
    lock_with_probe_state,
    record_status_change,
    update_row,
)
from credentials.health.registration import insert_probe_states
from credentials.health.state_machine import TRANSITIONS, Finding, append_note, apply_finding
from credentials.models import Credential
from events.services import EventTarget, NewEvent
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import get_registry
from vault.sealing import SecretUnavailableError
from webhooks.outbox import record_changes

HEALTH_ACTOR: Final = Actor(name="health")
"""The actor when evidence of one account says something about another's credential."""

_USE_RECORDED_EVERY: Final = dt.timedelta(minutes=10)
_OUTAGE_AFTER: Final = dt.timedelta(minutes=1)
"""The time without a response after which one credential is enough to recognise an outage."""

REPORT_INTERVAL: Final = dt.timedelta(seconds=30)
"""A report is probed so long after the provider last responded about the credential."""

MAX_LOST_SCOPES: Final = 1000
_LISTED_SCOPES: Final = 10

_DEFINITE_SOURCES: Final = frozenset({"refresh", "probe", "seal", "expiry"})
_APP_FINDINGS: Final[dict[str, Finding]] = {
    "ok": "works",
    "rejected": "dead",
    "app": "dead",
    "suspect": "suspected",
}
"""Findings about an OAuth app. An outage is displayed on the credentials that it affects."""


class HealthEffect(NamedTuple):
    """The changes that evidence makes to a credential: `columns` to write and `events` to record."""

    finding: Finding
    columns: dict[str, Any]
    events: list[NewEvent]


def record_evidence(
    *, account_id: uuid.UUID, credential_id: uuid.UUID, evidence: Evidence, actor: Actor
) -> bool:
    """Apply `evidence` in the caller's transaction. Return True if the status has changed.

    Does nothing if the credential is gone.
    """
    with transaction.atomic(savepoint=False):
        locked = lock_with_probe_state(account_id, credential_id)
        if locked is None:
            return False
        # Uses come by the thousand. One in ten minutes is enough to confirm that all is well.
        if (evidence.source, evidence.verdict, locked.row.health["status"]) == ("use", "ok", "ok"):
            last = parse_rfc3339(locked.row.health["time"])
            if last is not None and locked.now - last < _USE_RECORDED_EVERY:
                return False
        effect = evaluate_evidence(locked, evidence)
        update_row(Credential, credential_id, effect.columns)
        record_changes(actor, account_id, "credential", effect.events)
        if effect.finding == "outage":
            _record_outage_of_others(locked.row, evidence, locked.now)
        return bool(effect.events)


def evaluate_evidence(locked: LockedCredential, evidence: Evidence) -> HealthEffect:
    """Return the effect of `evidence` on a locked row. Writes the probe state, history and mail.

    The caller writes and records the effect in the same transaction, with other changes it may have.
    """
    row, state, now, _ = locked
    if evidence.verdict == "unavailable":
        state.failures += 1
        state.silent_since = state.silent_since or now
        # "Too many requests" is a response: the provider is there.
        if evidence.code == "rate_limited":
            state.answered_at = now
        else:
            state.unavailable_at = now
    elif evidence.source in {"probe", "refresh", "use"}:
        state.failures, state.silent_since, state.answered_at = 0, None, now
    expiry = find_coming_expiry(row, state, now)
    finding = _derive_finding(row, state, evidence, expiry, now)
    _store_probe_state(locked, finding, evidence)
    notes = [evidence.note]
    if evidence.verdict == "ok" and state.lost_scopes:
        lost = ", ".join(escape_name(name) for name in state.lost_scopes.split()[:_LISTED_SCOPES])
        note = f"The provider no longer grants: {lost}. Connect it again to get them back."
        notes = [note, *notes]
    if finding == "expiring" and expiry:
        notes = [expiry.note, *notes]
    return _build_effect(row, finding, evidence, notes, now)


def record_app_evidence(
    *, account_id: uuid.UUID, app_id: uuid.UUID, evidence: Evidence, actor: Actor
) -> bool:
    """Apply `evidence` to an OAuth app, as `record_evidence` does to a credential."""
    with transaction.atomic(savepoint=False):
        apps = OAuthApp.objects.select_for_update(of=("self",), no_key=True)
        app = apps.filter(account_id=account_id, id=app_id).first()
        if app is None:
            return False
        finding = _APP_FINDINGS.get(evidence.verdict, "unclear")
        now = db_now()
        health = apply_finding(app.health, finding, [evidence.note], now)
        changed = bool(health["status"] != app.health["status"])
        columns: dict[str, Any] = {"health": health}
        if changed:
            columns["updated_at"] = DbNow()
        OAuthApp.objects.filter(id=app_id).update(**columns)
        if changed:
            target = EventTarget("oauth_app", account_id, app_id)
            event = record_status_change(target, app.health["status"], health, evidence)
            record_changes(actor, account_id, "oauth_app", [event])
        return changed


def find_coming_expiry(
    row: Credential, state: ProbeState, now: dt.datetime
) -> ExpiryForecast | None:
    """Return the expiry that people should be warned of now, None if there is none."""
    kind = get_registry().get_kind(row.kind)
    expiry = forecast_expiry(row, kind, state.granted_at) if kind else None
    return expiry if expiry and expiry.warn_from <= now < expiry.ends_at else None


def reset_probe_states(*, account_id: uuid.UUID, ids: list[uuid.UUID]) -> None:
    """Reset what is known of credentials that have other secrets now, and probe them soon.

    The caller resets their health in the same transaction.
    """
    ProbeState.objects.filter(account_id=account_id, credential_id__in=ids).update(
        next_at=DbNow(),
        failures=0,
        silent_since=None,
        unavailable_at=None,
        cause="",
        lost_scopes="",
        granted_at=DbNow(),
    )


def record_granted_scopes(locked: LockedCredential, changed: Mapping[str, Any]) -> None:
    """Compare the scopes that a refresh states with the stored ones. Call it before they change.

    Scopes that are gone stay known until the provider grants them again, or another grant is
    stored. `evaluate_evidence` writes them and warns of them.
    """
    row, state, _, _ = locked
    for name in SCOPE_FIELDS:
        if name not in changed:
            continue
        oauth = get_registry().get_oauth(row.kind)
        lost = find_lost_scopes(row.properties.get(name), changed[name], oauth)
        known = {*split_scopes(state.lost_scopes), *lost} - set(split_scopes(changed[name]))
        state.lost_scopes = " ".join(sorted(known))[:MAX_LOST_SCOPES]


def can_be_checked(kind: Kind) -> bool:
    """Return True if a probe or a refresh can tell whether a credential of this kind works."""
    return kind.probe is not None or kind.refreshes


def _derive_finding(
    row: Credential,
    state: ProbeState,
    evidence: Evidence,
    expiry: ExpiryForecast | None,
    now: dt.datetime,
) -> Finding:
    source, verdict = evidence.source, evidence.verdict
    if verdict == "ok":
        return _derive_good_finding(row, state, source, expiry)
    if verdict == "rejected" and source in _DEFINITE_SOURCES:
        return "dead"
    if verdict == "suspect" and source == "expiry":
        return "ending"
    if source == "restore":
        return "doubted"
    if verdict in {"rejected", "suspect"}:
        kind = get_registry().get_kind(row.kind)
        return "suspected" if kind and can_be_checked(kind) else "doubted"
    if verdict == "unavailable":
        if evidence.code == "rate_limited":
            return "unanswered"
        is_long = state.silent_since is not None and now - state.silent_since >= _OUTAGE_AFTER
        if is_long or is_outage(row.provider, now, unanswered_id=row.id):
            return "outage"
        return "unanswered"
    return "app" if verdict == "app" else "unclear"


def _derive_good_finding(
    row: Credential, state: ProbeState, source: str, expiry: ExpiryForecast | None
) -> Finding:
    if source in {"seal", "expiry"}:
        return "relieved" if state.cause == source else "unclear"
    # Only a refresh shows if the grant is still the provider's.
    if state.cause == "restore" and source != "refresh":
        return "unclear"
    if row.health["status"] == "error":
        # An access token may outlive its grant by an hour: that it works does not restore the grant.
        if state.cause == "refresh" and source != "refresh":
            return "unclear"
        # A probe has rejected the last token, and only a probe tells if the provider accepts this one.
        kind = get_registry().get_kind(row.kind)
        if state.cause == "probe" and source == "refresh" and kind and kind.probe:
            return "suspected"
    if expiry:
        return "expiring"
    return "narrowed" if state.lost_scopes else "works"


def _store_probe_state(locked: LockedCredential, finding: Finding, evidence: Evidence) -> None:
    row, state, now, has_gate = locked
    fields = ["failures", "silent_since", "answered_at", "unavailable_at", "cause", "lost_scopes"]
    # Only evidence that sets a status is its cause.
    if finding in {"works", "relieved"}:
        state.cause = ""
    elif TRANSITIONS[finding].get(row.health["status"]):
        state.cause = "expiry" if finding == "expiring" else evidence.source
    if finding == "suspected":
        # A provider that has just responded about this credential is not asked again at once.
        earliest = state.answered_at + REPORT_INTERVAL if state.answered_at else now
        state.next_at, state.urgent = max(now, earliest), True
        fields += ["next_at", "urgent"]
    if state._state.adding:
        insert_probe_states([state], has_gates=has_gate)
    else:
        update_row(ProbeState, state.credential_id, {name: getattr(state, name) for name in fields})


def _build_effect(
    row: Credential, finding: Finding, evidence: Evidence, notes: list[str], now: dt.datetime
) -> HealthEffect:
    """Return the new health of `row`. Writes history and mail if its status changes."""
    before = row.health["status"]
    health = apply_finding(row.health, finding, notes, now)
    if health["status"] == before:
        return HealthEffect(finding, {"health": health}, [])
    target = EventTarget("credential", row.account_id, row.id)
    event = record_status_change(target, before, health, evidence)
    if health["status"] == "error":
        for note in enqueue_owner_mail(row, evidence):
            health["notes"] = append_note(health["notes"], note)
    return HealthEffect(finding, {"health": health, "updated_at": now}, [event])


def _record_outage_of_others(row: Credential, evidence: Evidence, now: dt.datetime) -> None:
    """Apply an outage to the credentials whose evidence came before it was recognised."""
    if not is_outage(row.provider, now):
        return
    ids = find_affected_credentials(row.provider, now, exclude_id=row.id)
    # A locked row has evidence of its own being applied by another process: it is skipped.
    rows = Credential.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    rows = rows.only("id", "account_id", "provider", "owner_email", "health")
    for other in rows.filter(id__in=ids).order_by("id"):
        ProbeState.objects.filter(credential_id=other.id).update(cause=evidence.source)
        notes = [build_outage_note(row.provider)]
        effect = _build_effect(other, "outage", evidence, notes, now)
        update_row(Credential, other.id, effect.columns)
        record_changes(HEALTH_ACTOR, other.account_id, "credential", effect.events)


@contextmanager
def report_undecryptable(
    *, account_id: uuid.UUID, credential_id: uuid.UUID, actor: Actor
) -> Iterator[None]:
    """Set the credential's health to error if the block finds that it cannot be decrypted.

    Re-raises SecretUnavailableError. Call it outside a transaction: the caller's would be undone.
    """
    try:
        yield
    except SecretUnavailableError:
        note = "The stored secret cannot be decrypted with the keys of this server."
        evidence = Evidence(source="seal", verdict="rejected", note=note, code="undecryptable")
        record_evidence(
            account_id=account_id, credential_id=credential_id, evidence=evidence, actor=actor
        )
        raise
