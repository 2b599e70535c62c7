"""Work for the worker that has no row to be claimed by: doing it twice, or late, does no harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence


class PeriodicTask:
    """A source of the worker (config.worker.tasks): each worker does it once in `every` seconds.

    `work` does a part and says whether there may be more; it is called until there is not.
    """

    def __init__(self, name: str, *, every: float, run_batch: Callable[[], object]) -> None:
        self.name = name
        self.every = every
        self._work = run_batch
        self._lock = threading.Lock()
        self._last = -every

    def claim(self, owner: str, limit: int) -> Sequence[bool]:
        with self._lock:
            if time.monotonic() - self._last < self.every:
                return []
            self._last = time.monotonic()
        return [True]

    def run(self, claim: bool) -> None:
        while self._work():
            pass

    def next_due(self) -> None:
        """It can wait for whenever the worker looks again."""
