"""The worker's task of this package."""

from __future__ import annotations

from typing import Final

from common.periodic_tasks import PeriodicTask
from events.hash_chain import CheckpointWriter

EVENT_CHECKPOINTS: Final = PeriodicTask("seals", every=5, run_batch=CheckpointWriter().write_next)
