"""The dashboard's figures: of few credentials counted for each page, so that they agree with the lists
beside them; of many, counted now and then by whoever claims it, and read in no time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any, Final, NamedTuple

from django.db.models import Count, Q
from django.db.models.functions import TruncWeek

from common.db.clock import db_now
from common.health import STATUSES
from config.dashboard.models import SINGLETON_ID, Statistics
from credentials.models import Credential

REFRESH_INTERVAL: Final = dt.timedelta(minutes=5)
AT_MOST: Final = dt.timedelta(minutes=2)
"""How long one may count before another may start as well."""

WEEKS: Final = 26
MAX_LIVE_COUNT: Final = 10_000
"""So many are counted for each page, while somebody waits; more are the worker's."""


class Figures(NamedTuple):
    """`health` and `providers` count credentials by status and by slug; `broken` those of a provider
    with status error. `weeks` says how many there were at the end of each week, oldest first, of
    those that are held now; `start` is the Monday of the first."""

    total: int
    health: dict[str, int]
    providers: dict[str, int]
    broken: dict[str, int]
    weeks: list[int]
    start: str
    counted_at: dt.datetime


def refresh_statistics_if_due() -> bool:
    """Count anew if that is due and nobody else does; whether it was done. For the worker.

    One conditional UPDATE decides who counts, so any number of processes may call it at any time.
    """
    now = db_now()
    Statistics.objects.get_or_create(id=SINGLETON_ID)
    due = Q(counted_at=None) | Q(counted_at__lte=now - REFRESH_INTERVAL)
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    row = Statistics.objects.filter(due & free, id=SINGLETON_ID)
    if not row.update(claimed_until=now + AT_MOST):
        return False
    figures = _counted(now)
    Statistics.objects.filter(id=SINGLETON_ID).update(
        figures=figures, counted_at=now, claimed_until=None
    )
    return True


def get_statistics() -> Figures | None:
    """The figures of now where credentials are few, else the last; None if these are none yet."""
    found = _stored()
    if (found is None or found.total <= MAX_LIVE_COUNT) and _are_few():
        now = db_now()
        return Figures(**_counted(now), counted_at=now)
    return found


def _stored() -> Figures | None:
    row = Statistics.objects.filter(id=SINGLETON_ID).first()
    if row is None or row.figures is None or row.counted_at is None:
        return None
    return Figures(**row.figures, counted_at=row.counted_at)


def _are_few() -> bool:
    return Credential.objects.order_by()[: MAX_LIVE_COUNT + 1].count() <= MAX_LIVE_COUNT


def _counted(now: dt.datetime) -> dict[str, Any]:
    """One pass over the table; all else is added up here."""
    groups = (
        Credential.objects.order_by()
        .values_list("provider", "health_status", TruncWeek("created_at"))
        .annotate(count=Count("id"))
    )
    health, providers, broken = Counter(dict.fromkeys(STATUSES, 0)), Counter[str](), Counter[str]()
    made: Counter[dt.date] = Counter()
    for provider, status, week, count in groups:
        health[status] += count
        providers[provider] += count
        made[week.date()] += count
        if status == "error":
            broken[provider] += count
    this = now.date() - dt.timedelta(days=now.weekday())
    mondays = [this - dt.timedelta(weeks=back) for back in reversed(range(WEEKS))]
    held = sum(count for week, count in made.items() if week < mondays[0])
    weeks = []
    for monday in mondays:
        held += made[monday]
        weeks.append(held)
    return {
        "total": health.total(),
        "health": dict(health),
        "providers": dict(providers.most_common()),
        "broken": dict(broken.most_common()),
        "weeks": weeks,
        "start": mondays[0].isoformat(),
    }
