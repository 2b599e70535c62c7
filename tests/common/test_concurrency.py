"""Request slots: how many threads work at once, and what a waiting thread yields."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from common import concurrency
from common.concurrency import RequestSlots
from common.errors import ServiceUnavailableError
from tests.threads import count_most_at_once


def test_no_more_threads_run_than_there_are_slots():
    assert count_most_at_once(RequestSlots(3).acquire, 24) == 3


def test_a_waiting_thread_lets_another_run():
    slots = RequestSlots(1)
    with slots.acquire(), slots.yield_slot(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(run_in_slot, slots).result(30) == "ran"


def test_a_thread_that_waited_continues_without_a_free_slot():
    slots, acquired, done = RequestSlots(1), threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with slots.acquire():
            with slots.yield_slot():
                other = pool.submit(occupy_slot, slots, acquired, done)
                assert acquired.wait(30)
            assert not other.done()
        done.set()
        other.result(30)
    assert count_free(slots) == 1


def test_a_reacquired_slot_is_released_at_the_end():
    slots = RequestSlots(2)
    with slots.acquire(), slots.yield_slot():
        pass
    assert count_free(slots) == 2


def test_an_exception_releases_the_slot():
    slots = RequestSlots(1)
    with pytest.raises(OSError, match="gone"), slots.acquire(), slots.yield_slot():
        raise OSError("gone")
    assert (count_free(slots), slots.yielded_count) == (1, 0)


def test_a_thread_without_a_slot_yields_none():
    slots = RequestSlots(1)
    with slots.yield_slot():
        assert (count_free(slots), slots.yielded_count) == (1, 0)


def test_too_many_waiting_requests_are_overloaded(monkeypatch):
    slots = RequestSlots(1)
    monkeypatch.setattr(concurrency, "request_slots", slots)
    monkeypatch.setattr(concurrency, "MAX_BLOCKED", 1)
    concurrency.require_capacity()
    with slots.acquire(), slots.yield_slot(), pytest.raises(ServiceUnavailableError) as error:
        concurrency.require_capacity()
    assert (error.value.extra["code"], error.value.retry_after) == ("overloaded", 1)
    concurrency.require_capacity()


def run_in_slot(slots: RequestSlots) -> str:
    with slots.acquire():
        return "ran"


def occupy_slot(slots: RequestSlots, acquired: threading.Event, done: threading.Event) -> None:
    with slots.acquire():
        acquired.set()
        done.wait(30)


def count_free(slots: RequestSlots) -> int:
    return slots._free.qsize()
