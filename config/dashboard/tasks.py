"""The worker task of the dashboard and of uploaded drafts."""

from __future__ import annotations

from typing import Final

from common.periodic_tasks import PeriodicTask
from config.dashboard.statistics import refresh_statistics_if_due
from credentials.imports.admin_services import import_drafts_prune


def _run_batch() -> None:
    refresh_statistics_if_due()
    import_drafts_prune()


# Each worker checks every 30 seconds; a conditional UPDATE decides which of them counts.
STATISTICS_TASK: Final = PeriodicTask("figures", every=30, run_batch=_run_batch)
