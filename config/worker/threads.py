"""The worker's threads. Each runs one piece of work at a time and then releases its connection."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.db import connections

from config.worker.tasks import TaskSource

log = structlog.get_logger(__name__)

_END: Final = None


class ThreadPool:
    """`count` threads. `on_done` is called after each piece of work, in its thread."""

    def __init__(self, count: int, *, on_done: Callable[[], None]) -> None:
        self.count = count
        self._on_done = on_done
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        # Daemon threads: work that hangs after the worker's patience must not keep the process.
        self._threads = [
            threading.Thread(target=self._serve, name=f"work-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, source: TaskSource, claim: Any) -> None:
        """Run `claim` of `source` as soon as a thread is free."""
        with self._lock:
            self._running[source.name] += 1
        self._work.put((source, claim))

    def count_running(self, name: str | None = None) -> int:
        """Return how many pieces of work are under way, of the source `name` or of all."""
        with self._lock:
            return self._running[name] if name else self._running.total()

    def count_done(self) -> Counter[str]:
        """Return how many pieces of work of each source were done since the start."""
        with self._lock:
            return Counter(self._done)

    def stop(self, patience: float) -> int:
        """Wait up to `patience` seconds until nothing is under way. Return how much still is."""
        for _ in self._threads:
            self._work.put(_END)
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return self.count_running()

    def _serve(self) -> None:
        while (work := self._work.get()) is not _END:
            source, claim = work
            try:
                source.run(claim)
            except Exception:
                log.exception("worker.fault", source=source.name)
            finally:
                close_connections()
                with self._lock:
                    self._running[source.name] -= 1
                    self._done[source.name] += 1
                self._on_done()


def close_connections() -> None:
    """Return this thread's connections to the pool, which drops broken ones."""
    try:
        connections.close_all()
    except Exception as error:
        log.warning("worker.close_failed", error=type(error).__name__)
