"""What this room gives the worker to do. It has `name`, `claim`, `run` and `next_due`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from events.sealing import seal_due


class Seals:
    """The trail's new events are sealed every five seconds by each worker: the first one does it."""

    name: Final = "seals"
    every: Final = 5.0

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
        while seal_due():
            pass

    def next_due(self) -> None:
        """It can wait for whenever the worker looks again."""


SEALS: Final = Seals()
