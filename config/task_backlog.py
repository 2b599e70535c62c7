"""The age of work that is due and that no worker has claimed: the sign that workers are missing."""

from __future__ import annotations

import datetime as dt
from typing import Final

from common.db.clock import db_now
from config.dashboard.models import Statistics
from config.dashboard.statistics import REFRESH_INTERVAL
from config.worker.tasks import get_task_sources

WORKER_TIMEOUT: Final = 2 * REFRESH_INTERVAL
"""No worker runs if none has done its regular work within this time."""


def measure_backlog() -> dict[str, float]:
    """Return for each task how many seconds its first piece of work is overdue; 0 if none is.

    Tasks without a schedule are left out.
    """
    now = db_now()
    backlog = {}
    for source in get_task_sources():
        due_at = source.next_due()
        if due_at is not None:
            backlog[source.name] = max((now - due_at).total_seconds(), 0.0)
    return backlog


def get_last_worker_time() -> dt.datetime | None:
    """Return when a worker last did its regular work, at most every REFRESH_INTERVAL; None: never."""
    row = Statistics.objects.filter(counted_at__isnull=False).first()
    return None if row is None else row.counted_at
