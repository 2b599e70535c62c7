"""The worker's tasks of this app; `config.worker.tasks` says what a task is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from common.leases import Lease
from common.periodic_tasks import PeriodicTask
from webhooks.delivery import attempt_delivery
from webhooks.leases import claim_due_deliveries, find_next_due
from webhooks.models import WebhookDelivery
from webhooks.services import deliveries_prune


class DeliveryTask:
    """Sending the deliveries that are due; each attempt is one piece of work."""

    name: Final = "deliveries"

    def claim(self, owner: str, limit: int) -> Sequence[Lease[WebhookDelivery]]:
        return claim_due_deliveries(owner=owner, limit=limit)

    def run(self, claim: Lease[WebhookDelivery]) -> None:
        attempt_delivery(claim)

    def next_due(self) -> dt.datetime | None:
        return find_next_due()


DELIVERIES: Final = DeliveryTask()
DELIVERY_PRUNING: Final = PeriodicTask("old deliveries", every=3600, run_batch=deliveries_prune)
