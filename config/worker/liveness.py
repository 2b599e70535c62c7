"""Signs of life of a worker, for systemd's watchdog and for a container's health check."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

from egress.service_manager import notify_service_manager

INTERVAL: Final = 2.0
"""Seconds between two signs of life. The watchers wait 60 seconds (deploy/)."""


class Liveness:
    """Touches `file`, if there is one, and notifies systemd. Only the loop's own thread calls it.

    Work that hangs in a thread does not count: it has deadlines and a lease of its own.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._signalled_at = float("-inf")

    def mark_started(self) -> None:
        self._signal("READY=1")

    def mark_alive(self) -> None:
        """Give a sign of life, unless the last one is recent."""
        if time.monotonic() - self._signalled_at >= INTERVAL:
            self._signal("WATCHDOG=1")

    def mark_stopping(self) -> None:
        self._signal("STOPPING=1")

    def _signal(self, state: str) -> None:
        self._signalled_at = time.monotonic()
        notify_service_manager(state)
        if self._file is not None:
            # A full disk stops the sign of life, and not the worker.
            with contextlib.suppress(OSError):
                self._file.touch()
