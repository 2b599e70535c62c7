"""What the dashboard and the uploads give the worker to do."""

from __future__ import annotations

from typing import Final

from common.periodic_tasks import Periodic
from config.dashboard.statistics import refresh_statistics_due
from credentials.imports.admin_services import drafts_prune


def _count_and_prune() -> None:
    refresh_statistics_due()
    drafts_prune()


FIGURES: Final = Periodic("figures", every=30, work=_count_and_prune)
"""Each worker asks every half minute whether it is time to count; the database says to whom."""
