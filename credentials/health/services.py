"""The only writer of health: evidence comes in, and what follows from it is one transaction.

That is the row's health, its history, an event, a webhook and a mail to the owner. `revision` stays:
it is the version of what people edit, and a probe must not make an editor's If-Match fail.
`updated_at` moves with the status alone, not with each look.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final, NamedTuple

from django.db import transaction

from common.actors import Actor
from common.datetimes import parse_rfc3339
from common.db.clock import DbNow, db_now
from credentials.health import history, notification_queue, outage_detection, state_machine
from credentials.health.evidence import Evidence
from credentials.health.expiry import ExpiryForecast, forecast_expiry
from credentials.health.models import ProbeState
from credentials.health.queries import LockedCredential, lock_with_probe_state, update_row
from credentials.health.registration import insert_probe_states
from credentials.health.state_machine import Finding
from credentials.models import Credential
from events.services import EventTarget, NewEvent
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import get_registry
from webhooks.changes import record_changes

HEALTH_ACTOR: Final = Actor(name="health")
"""Who acts where one account's evidence says something of another's credential."""

_DEFINITE: Final = frozenset({"refresh", "probe", "seal", "expiry"})
_USE_NOTED_EVERY: Final = dt.timedelta(minutes=10)
_MOMENT: Final = dt.timedelta(minutes=1)
"""A provider that gives no answer for longer has more than a moment's trouble."""

_SHOWN: Final = ("id", "account_id", "provider", "owner_email", "health")


def record_evidence(
    *, account_id: uuid.UUID, credential_id: uuid.UUID, evidence: Evidence, actor: Actor
) -> bool:
    """Let `evidence` have its effect, within the caller's transaction; whether the status changed.

    Nothing happens to a credential that is gone.
    """
    with transaction.atomic(savepoint=False):
        found = lock_with_probe_state(account_id, credential_id)
        if found is None or _is_no_news(found.row, evidence, found.now):
            return False
        effect = evaluate_evidence(found, evidence)
        update_row(Credential, credential_id, effect.columns)
        record_changes(actor, account_id, "credential", effect.events)
        if effect.finding == "outage":
            _share(found.row, evidence, found.now)
        return bool(effect.events)


class HealthEffect(NamedTuple):
    """What evidence made of a credential: `columns` are to be written, `events` to record."""

    finding: Finding
    columns: dict[str, Any]
    events: list[NewEvent]


def evaluate_evidence(found: LockedCredential, evidence: Evidence) -> HealthEffect:
    """What `evidence` makes of a locked row. All that lies beside the row is written here.

    The rest is the caller's, in the same transaction: it may have more to write and to tell of.
    """
    row, state, now, gated = found
    _count(state, evidence, now)
    coming = find_coming_expiry(row, state, now)
    finding = _finding(row, state, evidence, coming, now)
    _keep(state, row.health["status"], finding, evidence.source, now, gated=gated)
    notes = [evidence.note]
    if finding == "expiring" and coming:
        notes = [coming.note, evidence.note]
    return _effect(row, finding, evidence, notes, now)


def record_app_evidence(
    *, account_id: uuid.UUID, app_id: uuid.UUID, evidence: Evidence, actor: Actor
) -> bool:
    """As `observe`, of an OAuth app. Its provider's outage leaves its status as it is."""
    with transaction.atomic(savepoint=False):
        apps = OAuthApp.objects.select_for_update(of=("self",), no_key=True)
        app = apps.filter(account_id=account_id, id=app_id).first()
        if app is None:
            return False
        finding = _APP_FINDINGS.get(evidence.verdict, "unclear")
        now = db_now()
        health = state_machine.apply_finding(app.health, finding, [evidence.note], now)
        changed = bool(health["status"] != app.health["status"])
        columns: dict[str, Any] = {"health": health}
        if changed:
            columns["updated_at"] = DbNow()
        OAuthApp.objects.filter(id=app_id).update(**columns)
        if changed:
            target = EventTarget("oauth_app", account_id, app_id)
            event = history.record_status_change(target, app.health["status"], health, evidence)
            record_changes(actor, account_id, "oauth_app", [event])
        return changed


def find_coming_expiry(
    row: Credential, state: ProbeState, now: dt.datetime
) -> ExpiryForecast | None:
    """The end that people are to be told of now."""
    kind = get_registry().get_kind(row.kind)
    found = forecast_expiry(row, kind, state.granted_at) if kind else None
    return found if found and found.warn_from <= now < found.ends_at else None


def reset_probe_states(*, account_id: uuid.UUID, ids: list[uuid.UUID]) -> None:
    """These hold other secrets now: what was known is void, and the worker looks at them soon.

    Their health itself is the caller's to reset, in the same transaction.
    """
    ProbeState.objects.filter(account_id=account_id, credential_id__in=ids).update(
        next_at=DbNow(),
        failures=0,
        silent_since=None,
        unavailable_at=None,
        cause="",
        granted_at=DbNow(),
    )


def _is_no_news(row: Credential, evidence: Evidence, now: dt.datetime) -> bool:
    """Uses come by the thousand: one in ten minutes is enough to say that all is well."""
    if (evidence.source, evidence.verdict, row.health["status"]) != ("use", "ok", "ok"):
        return False
    seen = parse_rfc3339(row.health["time"])
    return seen is not None and now - seen < _USE_NOTED_EVERY


def _count(state: ProbeState, evidence: Evidence, now: dt.datetime) -> None:
    if evidence.verdict == "unavailable":
        state.failures += 1
        state.silent_since = state.silent_since or now
        # Too many requests is an answer: whoever gives it is there.
        if evidence.code == "rate_limited":
            state.answered_at = now
        else:
            state.unavailable_at = now
    elif evidence.source in {"probe", "refresh", "use"}:
        state.failures, state.silent_since, state.answered_at = 0, None, now


def _finding(
    row: Credential,
    state: ProbeState,
    evidence: Evidence,
    coming: ExpiryForecast | None,
    now: dt.datetime,
) -> Finding:
    source, verdict = evidence.source, evidence.verdict
    if verdict == "ok":
        return _good(row, state, source, coming)
    if verdict == "rejected" and source in _DEFINITE:
        return "dead"
    if verdict == "suspect" and source == "expiry":
        return "ending"
    if verdict in {"rejected", "suspect"}:
        kind = get_registry().get_kind(row.kind)
        return "suspected" if kind and can_be_checked(kind) else "doubted"
    if verdict == "unavailable":
        return _silence(row, state, evidence, now)
    return "app" if verdict == "app" else "unclear"


def _good(
    row: Credential, state: ProbeState, source: str, coming: ExpiryForecast | None
) -> Finding:
    if source in {"seal", "expiry"}:
        return "relieved" if state.cause == source else "unclear"
    # An access token may outlive its grant for an hour: that it works does not bring the grant back.
    if state.cause == "refresh" and row.health["status"] == "error" and source != "refresh":
        return "unclear"
    return "expiring" if coming else "works"


def _silence(row: Credential, state: ProbeState, evidence: Evidence, now: dt.datetime) -> Finding:
    if evidence.code == "rate_limited":
        return "unanswered"
    if state.silent_since and now - state.silent_since >= _MOMENT:
        return "outage"
    return (
        "outage"
        if outage_detection.is_outage(row.provider, now, unanswered_id=row.id)
        else "unanswered"
    )


def can_be_checked(kind: Kind) -> bool:
    """Whether the provider can be asked about a credential of this kind: by a probe or a refresh."""
    return kind.probe is not None or kind.refreshes


def _keep(
    state: ProbeState, before: str, finding: Finding, source: str, now: dt.datetime, *, gated: bool
) -> None:
    """Write down what the row now rests on: only what sets a status is the cause of it."""
    fields = ["failures", "silent_since", "answered_at", "unavailable_at", "cause"]
    if finding in {"works", "relieved"}:
        state.cause = ""
    elif state_machine.TRANSITIONS[finding].get(before):
        state.cause = "expiry" if finding == "expiring" else source
    if finding == "suspected":
        state.next_at, state.urgent = now, True
        fields += ["next_at", "urgent"]
    if state._state.adding:
        insert_probe_states([state], has_gates=gated)
    else:
        update_row(ProbeState, state.credential_id, {name: getattr(state, name) for name in fields})


def _effect(
    row: Credential, finding: Finding, evidence: Evidence, notes: list[str], now: dt.datetime
) -> HealthEffect:
    """The health that `row` is to have; where its status changes, with history and mail."""
    before = row.health["status"]
    health = state_machine.apply_finding(row.health, finding, notes, now)
    if health["status"] == before:
        return HealthEffect(finding, {"health": health}, [])
    target = EventTarget("credential", row.account_id, row.id)
    event = history.record_status_change(target, before, health, evidence)
    if health["status"] == "error":
        health["notes"] = state_machine.merge_notes(
            notification_queue.enqueue_owner_mail(row, evidence), health["notes"]
        )
    return HealthEffect(finding, {"health": health, "updated_at": now}, [event])


def _share(row: Credential, evidence: Evidence, now: dt.datetime) -> None:
    """An outage is recognised with its third credential: tell of the two before.

    Whoever holds one of them now has its own evidence for it, so nobody is waited for.
    """
    if not outage_detection.is_outage(row.provider, now):
        return
    ids = outage_detection.find_affected_credentials(row.provider, now, exclude_id=row.id)
    rows = Credential.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    for other in rows.only(*_SHOWN).filter(id__in=ids).order_by("id"):
        ProbeState.objects.filter(credential_id=other.id).update(cause=evidence.source)
        effect = _effect(
            other, "outage", evidence, [outage_detection.build_outage_note(row.provider)], now
        )
        update_row(Credential, other.id, effect.columns)
        record_changes(HEALTH_ACTOR, other.account_id, "credential", effect.events)


_APP_FINDINGS: Final[dict[str, Finding]] = {
    "ok": "works",
    "rejected": "dead",
    "app": "dead",
    "suspect": "suspected",
}
"""No status in them is a provider's outage: that is shown on the credentials that meet it."""
