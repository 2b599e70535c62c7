"""What this room gives the worker to do. Each has `name`, `claim`, `run` and `next_due`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from common.periodic_tasks import Periodic
from webhooks.delivery import deliver
from webhooks.leases import Claim, claim_due, next_due
from webhooks.services import deliveries_prune


class Deliveries:
    """Deliveries that are due; one attempt is one piece of work."""

    name: Final = "deliveries"

    def claim(self, owner: str, limit: int) -> Sequence[Claim]:
        return claim_due(owner=owner, limit=limit)

    def run(self, claim: Claim) -> None:
        deliver(claim)

    def next_due(self) -> dt.datetime | None:
        return next_due()


DELIVERIES: Final = Deliveries()
PRUNING: Final = Periodic("old deliveries", every=3600, work=deliveries_prune)
