"""Known reasons why events waited long for their checkpoint."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

from common.db.clock import db_now
from events.digests import POSITION, EventColumns, compute_delay_digest
from events.models import EventCheckpoint, SealingDelay

MAX_REASON: Final = 300


class KnownDelays:
    """The recorded delays. `errors` names those that were not recorded by Latchkey."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.used = 0
        self._delays: list[SealingDelay] = []
        for delay in SealingDelay.objects.order_by("after"):
            if hmac.compare_digest(compute_delay_digest(delay), bytes(delay.digest)):
                self._delays.append(delay)
            else:
                self.errors.append(f"The recorded delay {delay.id} was changed or inserted.")

    def explain(self, checkpoint: EventCheckpoint, late: Iterable[EventColumns]) -> bool:
        """Return True if for each of the late events of `checkpoint` a delay is recorded."""
        digest = bytes(checkpoint.digest)
        delays = [
            delay
            for delay in self._delays
            if delay.checkpoint is None or bytes(delay.checkpoint) == digest
        ]
        for event in late:
            if not any(delay.after < event[POSITION] <= delay.upto for delay in delays):
                return False
        self.used += 1
        return True


def record_delays(delayed: Iterable[tuple[int, EventCheckpoint]], *, reason: str) -> int:
    """Record why the events of these checkpoints waited. Return the number of checkpoints.

    Each comes with the position after which its events begin, as a verification reports them.
    """
    rows = []
    for after, checkpoint in delayed:
        row = SealingDelay(
            after=after,
            upto=checkpoint.upto,
            # A batch that is rewritten later has another digest, which this does not explain.
            checkpoint=bytes(checkpoint.digest),
            reason=reason[:MAX_REASON],
            recorded_at=db_now(),
        )
        row.digest = compute_delay_digest(row)
        rows.append(row)
    SealingDelay.objects.bulk_create(rows)
    return len(rows)
