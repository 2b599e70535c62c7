"""The worker's task of this package."""

from __future__ import annotations

from functools import partial
from typing import Final

from accounts.idempotency import delete_expired_records
from common.periodic_tasks import PeriodicTask

EXPIRED_IDEMPOTENCY_RECORDS: Final = PeriodicTask(
    "old answers", every=600, run_batch=partial(delete_expired_records, 1000)
)
