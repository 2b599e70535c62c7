from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from common import concurrency
from common.concurrency import RequestSlots
from common.errors import ServiceUnavailableError


def test_no_more_run_at_once_than_there_are_turns():
    turns, running, most = RequestSlots(3), [], []

    def work(number: int) -> None:
        with turns.acquire():
            running.append(number)
            most.append(len(running))
            threading.Event().wait(0.002)
            running.remove(number)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(24)))
    assert max(most) == 3


def test_who_waits_lets_another_run():
    turns = RequestSlots(1)
    with turns.acquire(), turns.yielded(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, turns).result(5) == "ran"


def test_who_has_waited_goes_on_though_no_turn_is_free():
    turns, taken, done = RequestSlots(1), threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with turns.acquire():
            with turns.yielded():
                other = pool.submit(hold, turns, taken, done)
                assert taken.wait(5)
            assert not other.done()
        done.set()
        other.result(5)
    assert free(turns) == 1


def test_a_turn_taken_back_is_given_up_at_the_end():
    turns = RequestSlots(2)
    with turns.acquire(), turns.yielded():
        pass
    assert free(turns) == 2


def test_a_turn_comes_back_from_what_fails():
    turns = RequestSlots(1)
    with pytest.raises(OSError, match="gone"), turns.acquire(), turns.yielded():
        raise OSError("gone")
    assert (free(turns), turns.yielded_count) == (1, 0)


def test_threads_without_a_turn_lend_none():
    turns = RequestSlots(1)
    with turns.yielded():
        assert (free(turns), turns.yielded_count) == (1, 0)


def test_it_is_overloaded_while_too_many_wait(monkeypatch):
    turns = RequestSlots(1)
    monkeypatch.setattr(concurrency, "request_slots", turns)
    monkeypatch.setattr(concurrency, "MAX_BLOCKED", 1)
    concurrency.require_capacity()
    with turns.acquire(), turns.yielded(), pytest.raises(ServiceUnavailableError) as refused:
        concurrency.require_capacity()
    assert (refused.value.extra["code"], refused.value.retry_after) == ("overloaded", 1)
    concurrency.require_capacity()


def run(turns: RequestSlots) -> str:
    with turns.acquire():
        return "ran"


def hold(turns: RequestSlots, taken: threading.Event, done: threading.Event) -> None:
    with turns.acquire():
        taken.set()
        done.wait(5)


def free(turns: RequestSlots) -> int:
    """How many could start now."""
    return turns._free.qsize()
