"""The worker's loop: due work is done once, by all threads, and fairly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError

from common.periodic_tasks import PeriodicTask
from config.worker import loop
from config.worker.loop import Worker
from tests.fakes.fixtures import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class FakeTask:
    """A task with `count` pieces of work."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.pending = list(range(count))
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
        self.work()
        with self._lock:
            self._running -= 1
            self.done.append(claim)

    def work(self) -> None:
        """Do one piece. A subclass may wait here."""

    def next_due(self) -> None:
        return None


def test_all_due_work_is_done_once():
    work = FakeTask("a", 100)
    assert Worker([work], concurrency=8).run(once=True) == 0
    assert Counter(work.done) == Counter(range(100))


def test_all_threads_are_used():
    everyone = threading.Barrier(6)

    class MeetingTask(FakeTask):
        def work(self) -> None:
            everyone.wait(30)

    meeting = MeetingTask("a", 30)
    Worker([meeting], concurrency=6).run(once=True)
    assert len(meeting.done) == 30
    assert meeting.most_running == 6


class EndlessTask(FakeTask):
    """A task whose work ends with the test."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name, count)
        self.over = threading.Event()

    def work(self) -> None:
        self.over.wait(60)


@contextmanager
def run_in_background(worker: Worker, endless: EndlessTask) -> Iterator[None]:
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        endless.over.set()
        thread.join(30)


def test_a_slow_task_does_not_block_a_fast_one():
    slow, fast = EndlessTask("slow", 1000), FakeTask("fast", 20)
    worker = Worker([slow, fast], concurrency=16)
    with run_in_background(worker, slow):
        wait_until(lambda: len(fast.done) == 20 and slow.most_running >= 15)
    assert slow.most_running == 15


class LimitedTask(FakeTask):
    """A task that may run two pieces at once, like calls to one host."""

    capacity = 2

    def claim(self, owner: str, limit: int) -> list[int]:
        return super().claim(owner, min(limit, self.capacity - self._running))


def test_a_task_is_polled_again_as_soon_as_its_own_work_ends(monkeypatch):
    monkeypatch.setattr(loop, "_QUIET_SECONDS", 60)
    narrow, long = LimitedTask("narrow", 6), EndlessTask("long", 1)
    worker = Worker([narrow, long], concurrency=16)
    with run_in_background(worker, long):
        # Sooner than the narrow task would be polled without its own work.
        wait_until(lambda: len(narrow.done) == 6)


def test_stop_waits_for_running_work_and_claims_no_more():
    class StoppingTask(FakeTask):
        def work(self) -> None:
            worker.stop()
            time.sleep(0.1)

    task = StoppingTask("a", 100)
    worker = Worker([task], concurrency=2)
    assert worker.run() == 0
    assert len(task.done) == 2


def test_stop_gives_up_after_its_patience(monkeypatch):
    monkeypatch.setattr(loop, "STOP_PATIENCE", 0.2)

    class StubbornTask(EndlessTask):
        def work(self) -> None:
            worker.stop()
            super().work()

    task = StubbornTask("a", 1)
    worker = Worker([task], concurrency=2)
    assert worker.run() == 1
    task.over.set()


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

        def work(self) -> None:
            if not self.pending:
                worker.stop()

    work = FailingTask("a", 5)
    worker = Worker([work], concurrency=2)
    worker.run()
    assert sorted(work.done) == list(range(5))


def test_progress_is_logged(caplog):
    Worker([FakeTask("a", 7)], concurrency=2).run(once=True)
    report = next(record for record in caplog.records if "worker.progress" in str(record.msg))
    assert report.msg["done"] == {"a": 7}


def test_an_idle_worker_logs_no_progress(caplog):
    housekeeping = PeriodicTask("seals", every=0.01, run_batch=lambda: False)
    worker = Worker([housekeeping, FakeTask("a", 0)], concurrency=2)
    worker._reported_at -= 3600
    worker._threads.submit(housekeeping, True)
    wait_until(lambda: worker._threads.count_done()["seals"])
    worker._report()
    assert "worker.progress" not in caplog.text
