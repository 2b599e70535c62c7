"""Worker tasks without rows of their own, which may run twice or late without harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence


class PeriodicTask:
    """A task (config.worker.tasks) that each worker process runs once every `every` seconds.

    `run_batch` does one batch and returns a true value if there may be more.
    """

    def __init__(self, name: str, *, every: float, run_batch: Callable[[], object]) -> None:
        self.name = name
        self.every = every
        self._run_batch = run_batch
        self._lock = threading.Lock()
        self._last_claimed_at = -every

    def claim(self, owner: str, limit: int) -> Sequence[bool]:
        """Return one claim if the interval has passed, otherwise none."""
        with self._lock:
            if time.monotonic() - self._last_claimed_at < self.every:
                return []
            self._last_claimed_at = time.monotonic()
        return [True]

    def run(self, claim: bool) -> None:
        """Run batches until there are no more."""
        while self._run_batch():
            pass

    def next_due(self) -> None:
        """Return None: this task need not wake an idle worker."""
