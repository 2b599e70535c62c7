"""The worker's loop: claims due work as threads become free, reports progress, stops on a signal."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError

from common.db.clock import db_now
from common.periodic_tasks import PeriodicTask
from config.worker.liveness import Liveness
from config.worker.tasks import RESERVED_SHARE, TaskSource
from config.worker.threads import ThreadPool, close_connections

log = structlog.get_logger(__name__)

POLL_INTERVAL: Final = 1.0
"""Seconds between two polls while nothing is due. Short, because grace periods are short."""

REPORT_INTERVAL: Final = 10.0
STOP_PATIENCE: Final = 15.0
"""Seconds that work under way may take after the signal to stop."""

_MIN_DATABASE_WAIT: Final = 0.5
_MAX_DATABASE_WAIT: Final = 5.0
_QUIET_SECONDS: Final = 0.5
"""Seconds in which a source that had nothing due is not polled again while others are busy."""

_GATHER_SECONDS: Final = 0.015
"""Seconds to wait for more threads to become free, so that one poll serves several of them."""


class Worker:
    """A worker process. `run` it until `stop` is called, or with `once` until nothing is due."""

    def __init__(
        self,
        sources: Sequence[TaskSource],
        *,
        concurrency: int,
        liveness: Liveness | None = None,
    ) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._sources = list(sources)
        self._periodic = {source.name for source in sources if isinstance(source, PeriodicTask)}
        self._liveness = liveness or Liveness()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._threads = ThreadPool(concurrency, on_done=self._wake.set)
        self._reported_at = time.monotonic()
        self._reported: Counter[str] = Counter()
        self._database_wait = _MIN_DATABASE_WAIT
        self._quiet: dict[str, tuple[float, int]] = {}

    def stop(self) -> None:
        """Stop claiming. May be called in a signal handler."""
        self._stopping.set()
        self._wake.set()

    def run(self, *, once: bool = False) -> int:
        """Run, and return how many pieces of work were still under way at the end."""
        log.info("worker.started", worker=self.name, threads=self._threads.count)
        self._liveness.mark_started()
        while not self._stopping.is_set():
            self._wake.clear()
            self._liveness.mark_alive()
            self._report()
            try:
                claimed = self._claim_round()
            except (DatabaseError, InterfaceError) as error:
                self._wait_for_database(error)
                continue
            if once and claimed == 0 and self._threads.count_running() == 0:
                break
            if claimed == 0 or self._count_free() == 0:
                self._wait_for_work(once)
        self._liveness.mark_stopping()
        unfinished = self._threads.stop(STOP_PATIENCE)
        self._report(final=True)
        log.info("worker.stopped", worker=self.name, unfinished=unfinished)
        return unfinished

    def _claim_round(self) -> int:
        """Claim from every source: an equal share each, then from those that have more.

        Return how many pieces of work were claimed.
        """
        # Rotate, so that no source is always first.
        self._sources.append(self._sources.pop(0))
        sources = [source for source in self._sources if not self._is_quiet(source)]
        total, share = 0, max(self._count_free() // max(len(sources), 1), 1)
        for limit in (share, self._threads.count):
            counts = [self._claim(source, limit) for source in sources]
            total += sum(counts)
            # A source that claimed less than its limit has no more.
            sources = [
                source for source, count in zip(sources, counts, strict=True) if count >= limit
            ]
        self._database_wait = _MIN_DATABASE_WAIT
        return total

    def _claim(self, source: TaskSource, limit: int) -> int:
        maximum = self._threads.count
        if len(self._sources) > 1:
            maximum -= self._threads.count // RESERVED_SHARE
        running = self._threads.count_running(source.name)
        capacity = min(limit, self._count_free(), maximum - running)
        if capacity <= 0 or self._stopping.is_set():
            return 0
        done = self._threads.count_done()[source.name]
        # Each claim may wait for a lock, and a round has one for each source.
        self._liveness.mark_alive()
        claims = source.claim(self.name, capacity)
        if not claims:
            self._quiet[source.name] = (time.monotonic() + _QUIET_SECONDS, done)
        for claim in claims:
            self._threads.submit(source, claim)
        return len(claims)

    def _is_quiet(self, source: TaskSource) -> bool:
        """Return whether the source had nothing due recently, and none of its work has ended since."""
        until, done = self._quiet.get(source.name, (0.0, 0))
        if self._threads.count_running() == 0 or time.monotonic() >= until:
            return False
        # Work that ended may have freed a slot of an app, a host or an endpoint.
        return self._threads.count_done()[source.name] == done

    def _count_free(self) -> int:
        return self._threads.count - self._threads.count_running()

    def _wait_for_work(self, once: bool) -> None:
        """Wait until a thread is free, the worker is stopped, or it is time to poll again."""
        close_connections()
        is_idle = once and not self._threads.count_running()
        self._wake.wait(0.05 if is_idle else self._get_poll_delay())
        if self._threads.count_running() > 1:
            self._stopping.wait(_GATHER_SECONDS)

    def _get_poll_delay(self) -> float:
        if self._threads.count_running():
            return POLL_INTERVAL
        try:
            due = [at for source in self._sources if (at := source.next_due())]
            wait = (min(due) - db_now()).total_seconds() if due else POLL_INTERVAL
        except (DatabaseError, InterfaceError):
            wait = POLL_INTERVAL
        finally:
            close_connections()
        return min(max(wait, 0.05), POLL_INTERVAL)

    def _wait_for_database(self, error: Exception) -> None:
        """Wait before the next poll, longer each time. It opens a new connection."""
        log.warning(
            "worker.database_away", error=type(error).__name__, retry_in=self._database_wait
        )
        close_connections()
        self._stopping.wait(self._database_wait)
        self._database_wait = min(self._database_wait * 2, _MAX_DATABASE_WAIT)

    def _report(self, *, final: bool = False) -> None:
        """Log what was done since the last report, and how fast, if a report is due."""
        seconds = time.monotonic() - self._reported_at
        if seconds < REPORT_INTERVAL and not final:
            return
        done = self._threads.count_done()
        new = done - self._reported
        # Housekeeping runs every few seconds: an idle worker would log thousands of lines a day.
        if new.keys() - self._periodic or final:
            rates = {name: round(count / max(seconds, 0.001), 1) for name, count in new.items()}
            log.info(
                "worker.progress",
                done=dict(done),
                per_second=rates,
                running=self._threads.count_running(),
            )
        self._reported, self._reported_at = done, time.monotonic()
