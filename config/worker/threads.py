"""The worker's threads: each runs one piece of work at a time and gives its connection back."""

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
        # Daemons: what hangs beyond the patience of a stop must not keep the process.
        self._threads = [
            threading.Thread(target=self._serve, name=f"work-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, source: TaskSource, claim: Any) -> None:
        with self._lock:
            self._running[source.name] += 1
        self._work.put((source, claim))

    def count_running(self, name: str | None = None) -> int:
        """How many pieces are under way, of the source `name` or of all."""
        with self._lock:
            return self._running[name] if name else self._running.total()

    def count_done(self) -> Counter[str]:
        """How many pieces each source has had done, since the start."""
        with self._lock:
            return Counter(self._done)

    def stop(self, patience: float) -> int:
        """Wait until nothing is under way; after `patience` seconds, how many pieces still are."""
        for _ in self._threads:
            self._work.put(_END)
        ends = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(ends - time.monotonic(), 0))
        return self.count_running()

    def _serve(self) -> None:
        while (given := self._work.get()) is not _END:
            source, claim = given
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
    """Give this thread's connections back to the pool; a broken one is dropped there."""
    try:
        connections.close_all()
    except Exception as error:
        log.warning("worker.close_failed", error=type(error).__name__)
