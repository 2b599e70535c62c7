"""What this room gives the worker to do. Each has `name`, `claim`, `run` and `next_due`."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Sequence
from typing import Final

from webhooks.claims import Claim, claim_due, next_due
from webhooks.delivery import deliver
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


class Pruning:
    """Old deliveries are forgotten once an hour by each worker; that two do it does no harm."""

    name: Final = "old deliveries"
    every: Final = 3600.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -self.every

    def claim(self, owner: str, limit: int) -> Sequence[bool]:
        with self._lock:
            if time.monotonic() - self._last < self.every:
                return []
            self._last = time.monotonic()
        return [True]

    def run(self, claim: bool) -> None:
        while deliveries_prune():
            pass

    def next_due(self) -> None:
        """It can wait for whenever the worker looks again."""


DELIVERIES: Final = Deliveries()
PRUNING: Final = Pruning()
