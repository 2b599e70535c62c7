"""What the dashboard and the uploads give the worker to do."""

from __future__ import annotations

from typing import Final

from common.periodic_tasks import PeriodicTask
from config.dashboard.statistics import refresh_statistics_if_due
from credentials.imports.admin_services import import_drafts_prune


def _count_and_prune() -> None:
    refresh_statistics_if_due()
    import_drafts_prune()


STATISTICS_TASK: Final = PeriodicTask("figures", every=30, run_batch=_count_and_prune)
"""Each worker asks every half minute whether it is time to count; the database says to whom."""
