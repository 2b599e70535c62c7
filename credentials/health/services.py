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

from common.callers import Actor
from common.clock import DbNow, db_now
from common.times import parse
from credentials.health import history, notices, outages, states
from credentials.health.enrolment import put
from credentials.health.evidence import Evidence
from credentials.health.forecast import Forecast, forecast
from credentials.health.models import ProbeState
from credentials.health.states import Finding
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from providers.kinds import Kind
from providers.registry import registry

WATCH: Final = Actor(name="health")
"""Who acts where one account's evidence says something of another's credential."""

_DEFINITE: Final = frozenset({"refresh", "probe", "seal", "expiry"})
_USE_NOTED_EVERY: Final = dt.timedelta(minutes=10)
_MOMENT: Final = dt.timedelta(minutes=1)
"""A provider that gives no answer for longer has more than a moment's trouble."""

_NEEDED: Final = (
    "id", "account_id", "provider", "name", "owner_email", "properties", "health", "expires_at",
    "obtained_at", "created_at", "fingerprints", "refresh_last_at", "kind", "health_status",
)  # fmt: skip


def observe(
    *, account_id: uuid.UUID, credential_id: uuid.UUID, evidence: Evidence, actor: Actor
) -> bool:
    """Let `evidence` have its effect, within the caller's transaction; whether the status changed.

    Nothing happens to a credential that is gone.
    """
    with transaction.atomic(savepoint=False):
        found = _locked(account_id, credential_id)
        if found is None or _is_no_news(found.row, evidence, found.now):
            return False
        row, state, now = found
        _count(state, evidence, now)
        coming = coming_end(row, state, now)
        finding = _finding(row, state, evidence, coming, now)
        _keep(state, row.health["status"], finding, evidence.source, now)
        notes = [evidence.note]
        if finding == "expiring" and coming:
            notes = [coming.note, evidence.note]
        changed = _settle(row, finding, evidence, notes, now, actor)
        if finding == "outage":
            _share(row, evidence, now)
        return changed


def observe_app(
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
        health = states.after(app.health, finding, [evidence.note], now)
        changed = bool(health["status"] != app.health["status"])
        columns: dict[str, Any] = {"health": health}
        if changed:
            columns["updated_at"] = DbNow()
        OAuthApp.objects.filter(id=app_id).update(**columns)
        if changed:
            target = history.Target("oauth_app", account_id, app_id)
            history.announce(target, app.health["status"], health, evidence, actor)
        return changed


def coming_end(row: Credential, state: ProbeState, now: dt.datetime) -> Forecast | None:
    """The end that people are to be told of now."""
    kind = registry().kind(row.kind)
    found = forecast(row, kind, state.granted_at) if kind else None
    return found if found and found.warn_from <= now < found.ends else None


def renewed(*, account_id: uuid.UUID, ids: list[uuid.UUID]) -> None:
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


class _Found(NamedTuple):
    """A locked row, its probe state (unsaved where there is none yet), and the database's time."""

    row: Credential
    state: ProbeState
    now: dt.datetime


def _locked(account_id: uuid.UUID, id: uuid.UUID) -> _Found | None:
    """One statement, because refreshes come by the thousand."""
    rows = Credential.objects.select_for_update(of=("self",), no_key=True)
    rows = rows.select_related("probe_state").only(*_NEEDED, "probe_state")
    row = rows.annotate(now=DbNow()).filter(account_id=account_id, id=id).first()
    if row is None:
        return None
    state = getattr(row, "probe_state", None)
    if state is None:
        state = ProbeState(
            credential_id=row.id, account_id=row.account_id, provider=row.provider, next_at=row.now
        )
    return _Found(row, state, row.now)


def _is_no_news(row: Credential, evidence: Evidence, now: dt.datetime) -> bool:
    """Uses come by the thousand: one in ten minutes is enough to say that all is well."""
    if (evidence.source, evidence.verdict, row.health["status"]) != ("use", "ok", "ok"):
        return False
    seen = parse(row.health["time"])
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
    coming: Forecast | None,
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
        kind = registry().kind(row.kind)
        return "suspected" if kind and can_ask(kind) else "doubted"
    if verdict == "unavailable":
        return _silence(row, state, evidence, now)
    return "app" if verdict == "app" else "unclear"


def _good(row: Credential, state: ProbeState, source: str, coming: Forecast | None) -> Finding:
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
    return "outage" if outages.under_way(row.provider, now, silent=row.id) else "unanswered"


def can_ask(kind: Kind) -> bool:
    """Whether the provider can be asked about a credential of this kind: by a probe or a refresh."""
    return kind.probe is not None or kind.refreshes


def _keep(state: ProbeState, before: str, finding: Finding, source: str, now: dt.datetime) -> None:
    """Write down what the row now rests on: only what sets a status is the cause of it."""
    fields = ["failures", "silent_since", "answered_at", "unavailable_at", "cause"]
    if finding in {"works", "relieved"}:
        state.cause = ""
    elif states.NEXT[finding].get(before):
        state.cause = "expiry" if finding == "expiring" else source
    if finding == "suspected":
        state.next_at, state.urgent = now, True
        fields += ["next_at", "urgent"]
    if state._state.adding:
        put([state])
    else:
        state.save(update_fields=fields)


def _settle(
    row: Credential,
    finding: Finding,
    evidence: Evidence,
    notes: list[str],
    now: dt.datetime,
    actor: Actor,
) -> bool:
    """Write the health; where the status changed, all that goes with it."""
    before = row.health["status"]
    health = states.after(row.health, finding, notes, now)
    changed = bool(health["status"] != before)
    columns: dict[str, Any] = {"health": health}
    if changed:
        columns["updated_at"] = DbNow()
        target = history.Target("credential", row.account_id, row.id)
        history.announce(target, before, health, evidence, actor)
        if health["status"] == "error":
            health["notes"] = states.joined(notices.put(row, evidence), health["notes"])
    Credential.objects.filter(id=row.id).update(**columns)
    return changed


def _share(row: Credential, evidence: Evidence, now: dt.datetime) -> None:
    """An outage is recognised with its third credential: tell of the two before.

    Whoever holds one of them now has its own evidence for it, so nobody is waited for.
    """
    if not outages.under_way(row.provider, now):
        return
    ids = outages.fellow_sufferers(row.provider, now, but=row.id)
    rows = Credential.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    for other in rows.only(*_NEEDED).filter(id__in=ids).order_by("id"):
        ProbeState.objects.filter(credential_id=other.id).update(cause=evidence.source)
        _settle(other, "outage", evidence, [outages.note(row.provider)], now, WATCH)


_APP_FINDINGS: Final[dict[str, Finding]] = {
    "ok": "works",
    "rejected": "dead",
    "app": "dead",
    "suspect": "suspected",
}
"""No status in them is a provider's outage: that is shown on the credentials that meet it."""
