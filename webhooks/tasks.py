"""The worker's tasks of this app; `config.worker.tasks` says what a task is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from common.periodic_tasks import PeriodicTask
from webhooks.batches import Batch, attempt_batch, group_leases, is_quick
from webhooks.leases import claim_due_deliveries, find_next_due
from webhooks.services import deliveries_prune


class DeliveryTask:
    """Sending the deliveries that are due; a batch is one piece of work."""

    name: Final = "deliveries"

    def claim(self, owner: str, limit: int) -> Sequence[Batch]:
        # A second batch would claim what the first one goes on with, one by one.
        return group_leases(claim_due_deliveries(owner=owner, limit=limit, goes_on=is_quick))

    def run(self, claim: Batch) -> None:
        attempt_batch(claim)

    def next_due(self) -> dt.datetime | None:
        return find_next_due()


DELIVERIES: Final = DeliveryTask()
DELIVERY_PRUNING: Final = PeriodicTask("old deliveries", every=3600, run_batch=deliveries_prune)
