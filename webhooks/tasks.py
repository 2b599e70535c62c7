"""What this room gives the worker to do. Each has `name`, `claim`, `run` and `next_due`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from common.periodic_tasks import PeriodicTask
from webhooks.delivery import attempt_delivery
from webhooks.leases import DeliveryClaim, claim_due_deliveries, find_next_due
from webhooks.services import deliveries_prune


class DeliveryTask:
    """Deliveries that are due; one attempt is one piece of work."""

    name: Final = "deliveries"

    def claim(self, owner: str, limit: int) -> Sequence[DeliveryClaim]:
        return claim_due_deliveries(owner=owner, limit=limit)

    def run(self, claim: DeliveryClaim) -> None:
        attempt_delivery(claim)

    def next_due(self) -> dt.datetime | None:
        return find_next_due()


DELIVERIES: Final = DeliveryTask()
DELIVERY_PRUNING: Final = PeriodicTask("old deliveries", every=3600, run_batch=deliveries_prune)
