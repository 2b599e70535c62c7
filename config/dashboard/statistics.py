"""The figures of the dashboard.

Up to MAX_LIVE_COUNT credentials are counted for each page, so that the figures agree with the
lists. More are counted by the worker, and the page reads the stored figures.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any, Final, NamedTuple

from django.db.models import Count, Q
from django.db.models.functions import TruncWeek

from common.db.clock import db_now
from common.health import STATUSES
from config.dashboard.models import SINGLETON_ID, Statistics
from credentials.core.displayed_health import build_affected_filter, find_rejected_app_ids
from credentials.models import Credential

REFRESH_INTERVAL: Final = dt.timedelta(minutes=5)
CLAIM_DURATION: Final = dt.timedelta(minutes=2)
"""Time after which another process may count, in case the first one was killed."""

WEEKS: Final = 26
MAX_LIVE_COUNT: Final = 10_000
"""Credentials that are counted while a user waits for the page."""


class Figures(NamedTuple):
    """Counts of credentials.

    `health` counts them by status, `providers` by slug, and `broken` those of a provider with the
    status error. `weeks` has the number of today's credentials that existed at the end of each
    week, oldest first; `start` is the Monday of the first week.
    """

    total: int
    health: dict[str, int]
    providers: dict[str, int]
    broken: dict[str, int]
    weeks: list[int]
    start: str
    counted_at: dt.datetime


def refresh_statistics_if_due() -> bool:
    """Count and store the figures if they are due and no other process counts.

    Return whether this process counted. Any number of processes may call it at any time.
    """
    now = db_now()
    Statistics.objects.get_or_create(id=SINGLETON_ID)
    due = Q(counted_at=None) | Q(counted_at__lte=now - REFRESH_INTERVAL)
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    row = Statistics.objects.filter(due & free, id=SINGLETON_ID)
    if not row.update(claimed_until=now + CLAIM_DURATION):
        return False
    figures = _count_credentials(now)
    Statistics.objects.filter(id=SINGLETON_ID).update(
        figures=figures, counted_at=now, claimed_until=None
    )
    return True


def get_statistics() -> Figures | None:
    """Return current figures if there are few credentials, otherwise the stored ones.

    Return None if the worker has not counted yet.
    """
    row = Statistics.objects.filter(id=SINGLETON_ID).first()
    stored = None
    if row is not None and row.figures is not None and row.counted_at is not None:
        stored = Figures(**row.figures, counted_at=row.counted_at)
    if stored is None or stored.total <= MAX_LIVE_COUNT:
        # Stored figures may be old, so the table is asked too, up to the limit.
        sample = Credential.objects.order_by()[: MAX_LIVE_COUNT + 1]
        if sample.count() <= MAX_LIVE_COUNT:
            now = db_now()
            return Figures(**_count_credentials(now), counted_at=now)
    return stored


def _count_credentials(now: dt.datetime) -> dict[str, Any]:
    """Return the fields of Figures but `counted_at`, from one pass over the table."""
    groups = (
        Credential.objects.order_by()
        .values_list("provider", "health_status", TruncWeek("created_at"))
        .annotate(count=Count("id"))
    )
    health, providers, broken = Counter(dict.fromkeys(STATUSES, 0)), Counter[str](), Counter[str]()
    created: Counter[dt.date] = Counter()
    for provider, status, week, count in groups:
        health[status] += count
        providers[provider] += count
        created[week.date()] += count
        if status == "error":
            broken[provider] += count
    if app_ids := find_rejected_app_ids():
        # Stored with another status, and displayed as `warn` because of their app.
        affected = Credential.objects.filter(build_affected_filter(app_ids)).order_by()
        counts = affected.values_list("health_status").annotate(count=Count("id"))
        for status, count in counts:
            health[status] -= count
            health["warn"] += count
    this_monday = now.date() - dt.timedelta(days=now.weekday())
    mondays = [this_monday - dt.timedelta(weeks=back) for back in reversed(range(WEEKS))]
    total = sum(count for week, count in created.items() if week < mondays[0])
    weeks = []
    for monday in mondays:
        total += created[monday]
        weeks.append(total)
    return {
        "total": health.total(),
        "health": dict(health),
        "providers": dict(providers.most_common()),
        "broken": dict(broken.most_common()),
        "weeks": weeks,
        "start": mondays[0].isoformat(),
    }
