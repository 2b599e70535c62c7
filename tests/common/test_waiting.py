from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from common import concurrency
from common.concurrency import Turns
from common.errors import Unavailable


def test_no_more_run_at_once_than_there_are_turns():
    turns, running, most = Turns(3), [], []

    def work(number: int) -> None:
        with turns.one():
            running.append(number)
            most.append(len(running))
            threading.Event().wait(0.002)
            running.remove(number)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(24)))
    assert max(most) == 3


def test_who_waits_lets_another_run():
    turns = Turns(1)
    with turns.one(), turns.lent(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, turns).result(5) == "ran"


def test_who_has_waited_goes_on_though_no_turn_is_free():
    turns, taken, done = Turns(1), threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with turns.one():
            with turns.lent():
                other = pool.submit(hold, turns, taken, done)
                assert taken.wait(5)
            assert not other.done()
        done.set()
        other.result(5)
    assert free(turns) == 1


def test_a_turn_taken_back_is_given_up_at_the_end():
    turns = Turns(2)
    with turns.one(), turns.lent():
        pass
    assert free(turns) == 2


def test_a_turn_comes_back_from_what_fails():
    turns = Turns(1)
    with pytest.raises(OSError, match="gone"), turns.one(), turns.lent():
        raise OSError("gone")
    assert (free(turns), turns.lending) == (1, 0)


def test_threads_without_a_turn_lend_none():
    turns = Turns(1)
    with turns.lent():
        assert (free(turns), turns.lending) == (1, 0)


def test_it_is_crowded_while_too_many_wait(monkeypatch):
    turns = Turns(1)
    monkeypatch.setattr(concurrency, "turns", turns)
    monkeypatch.setattr(concurrency, "MOST_WAITING", 1)
    concurrency.require_room()
    with turns.one(), turns.lent(), pytest.raises(Unavailable) as refused:
        concurrency.require_room()
    assert (refused.value.extra["code"], refused.value.retry_after) == ("crowded", 1)
    concurrency.require_room()


def run(turns: Turns) -> str:
    with turns.one():
        return "ran"


def hold(turns: Turns, taken: threading.Event, done: threading.Event) -> None:
    with turns.one():
        taken.set()
        done.wait(5)


def free(turns: Turns) -> int:
    """How many could start now."""
    return turns._free.qsize()
