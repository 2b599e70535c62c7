"""The loop: what is due is done once, by as many threads as there are, and fairly."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from django.db import OperationalError

from config.worker import loop
from config.worker.loop import Worker

pytestmark = pytest.mark.django_db(transaction=True)


class Work:
    """A source with `count` pieces that take `seconds` each."""

    def __init__(self, name: str, count: int, seconds: float = 0) -> None:
        self.name = name
        self.left = list(range(count))
        self.seconds = seconds
        self.done: list[int] = []
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def claim(self, owner: str, limit: int) -> list[int]:
        taken, self.left = self.left[:limit], self.left[limit:]
        return taken

    def run(self, claim: int) -> None:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        time.sleep(self.seconds)
        with self._lock:
            self._running -= 1
            self.done.append(claim)

    def next_due(self) -> None:
        return None


def test_everything_due_is_done_once():
    work = Work("a", 100)
    assert Worker([work], concurrency=8).run(once=True) == 0
    assert Counter(work.done) == Counter(range(100))


def test_all_threads_are_used_and_no_more():
    work = Work("a", 30, seconds=0.05)
    Worker([work], concurrency=6).run(once=True)
    assert work.most == 6


def test_a_slow_source_does_not_stop_a_fast_one():
    slow, fast = Work("slow", 1000, seconds=30), Work("fast", 20)
    worker = Worker([slow, fast], concurrency=16)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 10
    while len(fast.done) < 20 and time.monotonic() < ends:
        time.sleep(0.01)
    worker.stop()
    assert len(fast.done) == 20
    assert slow.most == 15


class Narrow(Work):
    """A source that has room for so many at once, as one host has for calls."""

    room = 2

    def claim(self, owner: str, limit: int) -> list[int]:
        return super().claim(owner, min(limit, self.room - self._running))


def test_a_source_is_asked_again_as_soon_as_its_own_work_made_room(monkeypatch):
    monkeypatch.setattr(loop, "_QUIET", 60)
    narrow, long = Narrow("narrow", 6, seconds=0.02), Work("long", 1, seconds=1.5)
    worker = Worker([narrow, long], concurrency=16)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 1
    while len(narrow.done) < 6 and time.monotonic() < ends:
        time.sleep(0.01)
    worker.stop()
    assert len(narrow.done) == 6


def test_a_stop_waits_for_what_runs_and_claims_nothing_more():
    work = Work("a", 100, seconds=0.3)
    worker = Worker([work], concurrency=2)
    threading.Timer(0.1, worker.stop).start()
    assert worker.run() == 0
    assert len(work.done) == 2


def test_a_stop_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(loop, "STOP_PATIENCE", 0.2)
    work = Work("a", 1, seconds=3)
    worker = Worker([work], concurrency=2)
    threading.Timer(0.1, worker.stop).start()
    assert worker.run() == 1


def test_a_fault_in_one_piece_stops_nothing(caplog):
    class Faulty(Work):
        def run(self, claim: int) -> None:
            super().run(claim)
            if claim == 3:
                raise ZeroDivisionError

    work = Faulty("a", 10)
    Worker([work], concurrency=2).run(once=True)
    assert len(work.done) == 10
    assert "worker.fault" in caplog.text


def test_a_database_that_is_away_is_waited_for(monkeypatch):
    monkeypatch.setattr(loop, "_DATABASE_WAIT", (0.01, 0.02))

    class Away(Work):
        failures = 3

        def claim(self, owner: str, limit: int) -> list[int]:
            if self.failures:
                self.failures -= 1
                raise OperationalError("the server closed the connection")
            return super().claim(owner, limit)

    work = Away("a", 5)
    worker = Worker([work], concurrency=2)
    threading.Timer(1.0, worker.stop).start()
    worker.run()
    assert sorted(work.done) == list(range(5))


def test_it_says_how_it_goes(caplog):
    Worker([Work("a", 7)], concurrency=2).run(once=True)
    report = next(record for record in caplog.records if "worker.progress" in str(record.msg))
    assert report.msg["done"] == {"a": 7}
