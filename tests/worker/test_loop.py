"""The worker's loop: due work is done once, by all threads, and fairly."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
from django.db import OperationalError

from config.worker import loop
from config.worker.loop import Worker

pytestmark = pytest.mark.django_db(transaction=True)


class FakeTask:
    """A task with `count` pieces of work that take `seconds` each."""

    def __init__(self, name: str, count: int, seconds: float = 0) -> None:
        self.name = name
        self.pending = list(range(count))
        self.seconds = seconds
        self.done: list[int] = []
        self.most_running = 0
        self._running = 0
        self._lock = threading.Lock()

    def claim(self, owner: str, limit: int) -> list[int]:
        claims, self.pending = self.pending[:limit], self.pending[limit:]
        return claims

    def run(self, claim: int) -> None:
        with self._lock:
            self._running += 1
            self.most_running = max(self.most_running, self._running)
        time.sleep(self.seconds)
        with self._lock:
            self._running -= 1
            self.done.append(claim)

    def next_due(self) -> None:
        return None


def test_all_due_work_is_done_once():
    work = FakeTask("a", 100)
    assert Worker([work], concurrency=8).run(once=True) == 0
    assert Counter(work.done) == Counter(range(100))


def test_all_threads_are_used():
    work = FakeTask("a", 30, seconds=0.05)
    Worker([work], concurrency=6).run(once=True)
    assert work.most_running == 6


def test_a_slow_task_does_not_block_a_fast_one():
    slow, fast = FakeTask("slow", 1000, seconds=30), FakeTask("fast", 20)
    worker = Worker([slow, fast], concurrency=16)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while len(fast.done) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.stop()
    assert len(fast.done) == 20
    assert slow.most_running == 15


class LimitedTask(FakeTask):
    """A task that may run two pieces at once, like calls to one host."""

    capacity = 2

    def claim(self, owner: str, limit: int) -> list[int]:
        return super().claim(owner, min(limit, self.capacity - self._running))


def test_a_task_is_polled_again_as_soon_as_its_own_work_ends(monkeypatch):
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 60)
    narrow, long = LimitedTask("narrow", 6, seconds=0.02), FakeTask("long", 1, seconds=1.5)
    worker = Worker([narrow, long], concurrency=16)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 1
    while len(narrow.done) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.stop()
    assert len(narrow.done) == 6


def test_stop_waits_for_running_work_and_claims_no_more():
    work = FakeTask("a", 100, seconds=0.3)
    worker = Worker([work], concurrency=2)
    threading.Timer(0.1, worker.stop).start()
    assert worker.run() == 0
    assert len(work.done) == 2


def test_stop_gives_up_after_its_patience(monkeypatch):
    monkeypatch.setattr(loop, "STOP_PATIENCE", 0.2)
    work = FakeTask("a", 1, seconds=3)
    worker = Worker([work], concurrency=2)
    threading.Timer(0.1, worker.stop).start()
    assert worker.run() == 1


def test_an_exception_in_one_piece_stops_no_other(caplog):
    class RaisingTask(FakeTask):
        def run(self, claim: int) -> None:
            super().run(claim)
            if claim == 3:
                raise ZeroDivisionError

    work = RaisingTask("a", 10)
    Worker([work], concurrency=2).run(once=True)
    assert len(work.done) == 10
    assert "worker.fault" in caplog.text


def test_an_unavailable_database_is_retried(monkeypatch):
    monkeypatch.setattr(loop, "_MIN_DATABASE_WAIT", 0.01)
    monkeypatch.setattr(loop, "_MAX_DATABASE_WAIT", 0.02)

    class FailingTask(FakeTask):
        failures = 3

        def claim(self, owner: str, limit: int) -> list[int]:
            if self.failures:
                self.failures -= 1
                raise OperationalError("the server closed the connection")
            return super().claim(owner, limit)

    work = FailingTask("a", 5)
    worker = Worker([work], concurrency=2)
    threading.Timer(1.0, worker.stop).start()
    worker.run()
    assert sorted(work.done) == list(range(5))


def test_progress_is_logged(caplog):
    Worker([FakeTask("a", 7)], concurrency=2).run(once=True)
    report = next(record for record in caplog.records if "worker.progress" in str(record.msg))
    assert report.msg["done"] == {"a": 7}
