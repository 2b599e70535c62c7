"""The worker's loop: claim what is due as threads become free, say how it goes, stop when told to."""

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
from config.worker.tasks import RESERVED_SHARE, TaskSource
from config.worker.threads import ThreadPool, close_connections

log = structlog.get_logger(__name__)

POLL_INTERVAL: Final = 1.0
"""Seconds between two looks at the tables while nothing is due. Grace periods are short."""

REPORT_INTERVAL: Final = 10.0
STOP_PATIENCE: Final = 15.0
_DATABASE_WAIT: Final = (0.5, 5.0)
_QUIET: Final = 0.5
"""Seconds in which a source that had nothing is not asked again while others are busy."""

_GATHER: Final = 0.015
"""Seconds in which more threads may become free, so that one look at the tables serves several."""


class Worker:
    """`run` until `stop` is called, or with `once` until nothing is due."""

    def __init__(self, sources: Sequence[TaskSource], *, concurrency: int) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._sources = list(sources)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._threads = ThreadPool(concurrency, on_done=self._wake.set)
        self._reported_at = time.monotonic()
        self._reported: Counter[str] = Counter()
        self._database_wait = _DATABASE_WAIT[0]
        self._quiet: dict[str, tuple[float, int]] = {}

    def stop(self) -> None:
        """Claim nothing more. Safe in a signal handler."""
        self._stopping.set()
        self._wake.set()

    def run(self, *, once: bool = False) -> int:
        """How many pieces of work were still under way when patience ended: 0 is a clean stop."""
        log.info("worker.started", worker=self.name, threads=self._threads.count)
        while not self._stopping.is_set():
            self._wake.clear()
            self._report()
            try:
                claimed = self._round()
            except (DatabaseError, InterfaceError) as error:
                self._wait_for_database(error)
                continue
            if once and claimed == 0 and self._threads.count_running() == 0:
                break
            if claimed == 0 or self._free() == 0:
                self._rest(once)
        left = self._threads.stop(STOP_PATIENCE)
        self._report(final=True)
        log.info("worker.stopped", worker=self.name, unfinished=left)
        return left

    def _round(self) -> int:
        """Claim from every source: first an equal share each, then what is left, in an order that moves on."""
        self._sources.append(self._sources.pop(0))
        hungry = [source for source in self._sources if not self._is_quiet(source)]
        total, share = 0, max(self._free() // max(len(hungry), 1), 1)
        for limit in (share, self._threads.count):
            counts = [self._claim(source, limit) for source in hungry]
            total += sum(counts)
            # Who had less than it might claim has no more.
            hungry = [
                source for source, count in zip(hungry, counts, strict=True) if count >= limit
            ]
        self._database_wait = _DATABASE_WAIT[0]
        return total

    def _claim(self, source: TaskSource, limit: int) -> int:
        room = min(limit, self._free(), self._most() - self._threads.count_running(source.name))
        if room <= 0 or self._stopping.is_set():
            return 0
        done = self._threads.count_done()[source.name]
        claims = source.claim(self.name, room)
        if not claims:
            self._quiet[source.name] = (time.monotonic() + _QUIET, done)
        for claim in claims:
            self._threads.submit(source, claim)
        return len(claims)

    def _is_quiet(self, source: TaskSource) -> bool:
        """Whether it had nothing a moment ago, and nothing of its own has ended since.

        What ended may have made room: for an app, a host or an endpoint that had its fill. Once
        nothing runs, everybody is asked.
        """
        until, done = self._quiet.get(source.name, (0.0, 0))
        if self._threads.count_running() == 0 or time.monotonic() >= until:
            return False
        return self._threads.count_done()[source.name] == done

    def _free(self) -> int:
        return self._threads.count - self._threads.count_running()

    def _most(self) -> int:
        """What one source may have at once, where there is another."""
        if len(self._sources) == 1:
            return self._threads.count
        return self._threads.count - self._threads.count // RESERVED_SHARE

    def _rest(self, once: bool) -> None:
        """Until a thread is free, somebody stops us, or it is time to look again."""
        close_connections()
        self._wake.wait(0.05 if once and not self._threads.count_running() else self._pause())
        if self._threads.count_running() > 1:
            self._stopping.wait(_GATHER)

    def _pause(self) -> float:
        if self._threads.count_running():
            return POLL_INTERVAL
        try:
            due = [moment for source in self._sources if (moment := source.next_due())]
            wait = (min(due) - db_now()).total_seconds() if due else POLL_INTERVAL
        except (DatabaseError, InterfaceError):
            wait = POLL_INTERVAL
        finally:
            close_connections()
        return min(max(wait, 0.05), POLL_INTERVAL)

    def _wait_for_database(self, error: Exception) -> None:
        """A restarted database is found again by itself: a new connection each time."""
        log.warning(
            "worker.database_away", error=type(error).__name__, retry_in=self._database_wait
        )
        close_connections()
        self._stopping.wait(self._database_wait)
        self._database_wait = min(self._database_wait * 2, _DATABASE_WAIT[1])

    def _report(self, *, final: bool = False) -> None:
        """What was done since the last report, and how fast."""
        seconds = time.monotonic() - self._reported_at
        if seconds < REPORT_INTERVAL and not final:
            return
        done = self._threads.count_done()
        news = done - self._reported
        if news or final:
            rates = {name: round(count / max(seconds, 0.001), 1) for name, count in news.items()}
            log.info(
                "worker.progress",
                done=dict(done),
                per_second=rates,
                running=self._threads.count_running(),
            )
        self._reported, self._reported_at = done, time.monotonic()
