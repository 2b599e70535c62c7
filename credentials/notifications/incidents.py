"""Incidents: apps that their providers reject, outages, and many credentials that fail at once.

They are derived from the present state, and not from single changes, so that none is missed however
often it is looked for. Each opening and each end is an event and a webhook of the accounts concerned.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q

from common.actors import Actor
from common.db.clock import DbNow
from credentials.health.models import HealthChange, ProbeState
from credentials.health.outage_detection import WINDOW, is_outage
from credentials.notifications.models import Incident
from events.services import EventTarget, record_event
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from webhooks.outbox import enqueue

ERROR_WINDOW: Final = dt.timedelta(hours=1)
MAX_APPS: Final = 500
MAX_ACCOUNTS: Final = 1000
"""Accounts that are notified of one incident at most."""

_ACTOR: Final = Actor(name="worker:incidents")


@dataclass(frozen=True, slots=True)
class Condition:
    """A problem that exists now. `accounts` has the number of affected credentials of each account."""

    kind: Incident.Kind
    subject: str
    note: str
    accounts: dict[uuid.UUID, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.accounts.values())


def incidents_update(*, now: dt.datetime) -> None:
    """Open an incident for each new condition, and close those whose condition is over."""
    conditions = [
        *find_rejected_apps(),
        *find_outages(now),
        *find_many_errors(now),
    ]
    present = {(condition.kind.value, condition.subject): condition for condition in conditions}
    for incident in Incident.objects.filter(closed_at=None).order_by("id"):
        condition = present.pop((incident.kind, incident.subject), None)
        if condition is None:
            with transaction.atomic():
                closed = Incident.objects.filter(id=incident.id, closed_at=None)
                if closed.update(closed_at=DbNow()):
                    accounts = {uuid.UUID(id): 0 for id in incident.account_ids}
                    _publish(incident, "incident.closed", accounts)
        elif condition.count > incident.count:
            Incident.objects.filter(id=incident.id).update(
                count=condition.count, note=condition.note[:300]
            )
    for condition in present.values():
        with transaction.atomic():
            incident = Incident.objects.create(
                kind=condition.kind,
                subject=condition.subject,
                note=condition.note[:300],
                count=condition.count,
                account_ids=[str(id) for id in condition.accounts],
            )
            _publish(incident, "incident.opened", condition.accounts)


def find_rejected_apps() -> list[Condition]:
    """Return the OAuth apps that their providers reject."""
    apps = OAuthApp.objects.filter(health_status="error").order_by("id")
    rows = apps.only("id", "account_id", "name", "provider", "health")[:MAX_APPS]
    return [
        Condition(
            Incident.Kind.APP_REJECTED,
            str(app.id),
            f"{_get_name(app.provider)} rejects the OAuth app {' '.join(app.name.split())}."
            f" {app.health['notes'][0] if app.health['notes'] else ''}".strip(),
            {app.account_id: 0},
        )
        for app in rows
    ]


def find_outages(now: dt.datetime) -> list[Condition]:
    """Return the providers that do not respond for several credentials."""
    recent = ProbeState.objects.filter(unavailable_at__gt=now - WINDOW)
    recent = recent.filter(Q(answered_at=None) | Q(answered_at__lt=F("unavailable_at")))
    conditions = []
    for provider in sorted(set(recent.order_by().values_list("provider", flat=True).distinct())):
        if is_outage(provider, now):
            states = recent.filter(provider=provider).order_by()
            rows = states.values_list("account_id").annotate(count=Count("credential_id"))
            accounts = dict(rows.order_by("-count")[:MAX_ACCOUNTS])
            note = (
                f"{_get_name(provider)} does not respond for {sum(accounts.values())} credentials."
            )
            conditions.append(Condition(Incident.Kind.PROVIDER_OUTAGE, provider, note, accounts))
    return conditions


def find_many_errors(now: dt.datetime) -> list[Condition]:
    """Return a condition if more credentials turned to error within an hour than the setting allows."""
    changes = HealthChange.objects.filter(
        target_type="credential", after="error", time__gt=now - ERROR_WINDOW
    ).order_by()
    count = changes.aggregate(count=Count("target_id", distinct=True))["count"]
    if count <= settings.STAFF_ALERT_ERRORS:
        return []
    rows = changes.values_list("account_id").annotate(count=Count("target_id", distinct=True))
    accounts = dict(rows.order_by("-count")[:MAX_ACCOUNTS])
    owners = "one account" if len(accounts) == 1 else f"{len(accounts)} accounts"
    note = f"{count} credentials turned to error within an hour, of {owners}."
    return [Condition(Incident.Kind.MANY_ERRORS, "", note, accounts)]


def _publish(incident: Incident, verb: str, accounts: dict[uuid.UUID, int]) -> None:
    """Record the event and enqueue the webhook of each account."""
    for account_id, count in accounts.items():
        # Only what is the account's own: the number of all accounts is for staff.
        detail: dict[str, str | int] = {"kind": incident.kind, "subject": incident.subject}
        if count:
            detail["credentials"] = count
        target = EventTarget("incident", account_id, incident.id)
        record_event(_ACTOR, target, verb, detail=detail)
        enqueue(account_id, [(verb, incident.id)])


def _get_name(slug: str) -> str:
    provider = get_registry().get_provider(slug)
    return provider.name if provider else slug


def count_kinds(incidents: Iterable[Incident]) -> Counter[str]:
    """Return how many incidents there are of each kind."""
    return Counter(incident.kind for incident in incidents)
