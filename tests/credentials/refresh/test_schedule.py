"""When: ahead of expiry with jitter, and ever less often after failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credentials.refresh import schedule
from credentials.refresh.circuit_breaker import OPENS_AFTER, PER_APP, RESTS_FOR, Busy, Limits

HOUR = 3600
DAY = 24 * HOUR


def drawn(make: Callable[[], Any], times: int = 200) -> list[Any]:
    return [make() for _ in range(times)]


@pytest.mark.parametrize(
    ("lifetime", "lead"),
    [(HOUR, 360), (30 * DAY, 3 * DAY), (600, 120), (120, 60), (60, 30)],
)
def test_the_lead_is_a_tenth_and_at_least_two_minutes_but_never_half_a_life(lifetime, lead):
    assert schedule.lead(lifetime) == lead


@pytest.mark.parametrize("lifetime", [60, 600, HOUR, 30 * DAY])
def test_a_refresh_is_planned_before_its_lead_and_not_at_once(lifetime):
    waits = drawn(lambda: schedule.next_refresh(lifetime))
    assert max(waits) <= lifetime - schedule.lead(lifetime)
    assert min(waits) >= lifetime / 4


def test_tokens_that_came_together_do_not_go_together():
    waits = drawn(lambda: schedule.next_refresh(HOUR))
    assert max(waits) - min(waits) > 100


def test_a_grant_that_lapses_when_idle_is_used_before():
    assert schedule.next_refresh(30 * DAY, idle_days=1) == 0.8 * DAY
    assert schedule.next_refresh(None, refresh_expires_in=DAY) == 0.8 * DAY


def test_where_nothing_says_that_it_ends_nothing_is_planned():
    assert schedule.next_refresh(None) is None


@pytest.mark.parametrize(
    ("failures", "least"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (999, 300)]
)
def test_each_failure_doubles_the_wait_up_to_five_minutes(failures, least):
    waits = drawn(lambda: schedule.retry(failures, failing_for=0, retry_after=None))
    assert least <= min(waits) <= max(waits) <= least * 1.5


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1e9, HOUR)])
def test_retry_after_is_kept_up_to_an_hour(asked, waited):
    assert schedule.retry(1, failing_for=0, retry_after=asked) == waited


def test_after_four_days_it_is_tried_each_hour():
    waits = drawn(lambda: schedule.retry(5, failing_for=4 * DAY, retry_after=None))
    assert HOUR <= min(waits) <= max(waits) <= HOUR * 1.1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(limits: Limits, times: int) -> None:
    for _ in range(times):
        with limits.slot("app", "host"):
            limits.silent("app", "host")


def test_an_app_has_a_bounded_number_of_calls_at_once():
    limits = Limits()
    slots = [limits.slot("app", f"host-{n}") for n in range(PER_APP)]
    for slot in slots:
        slot.__enter__()
    with pytest.raises(Busy), limits.slot("app", "another"):
        pass
    assert limits.room("app", PER_APP) == 0
    slots[0].__exit__(None, None, None)
    with limits.slot("app", "another"):
        pass


def test_ten_failures_in_a_row_shut_the_gate_for_half_a_minute():
    clock = Clock()
    limits = Limits(clock=clock)
    fail(limits, OPENS_AFTER)
    with pytest.raises(Busy) as caught, limits.slot("other app", "host"):
        pass
    assert caught.value.retry_after == RESTS_FOR
    clock.now = RESTS_FOR + 1
    with limits.slot("other app", "host"):
        pass


def test_after_the_rest_one_call_tries_whether_it_is_over():
    clock = Clock()
    limits = Limits(clock=clock)
    fail(limits, OPENS_AFTER)
    clock.now = RESTS_FOR + 1
    with limits.slot("app", "host"), pytest.raises(Busy), limits.slot("app", "host"):
        pass
    with limits.slot("app", "host"):
        limits.silent("app", "host")
    with pytest.raises(Busy), limits.slot("app", "host"):
        pass


def test_an_answer_ends_the_row_of_failures():
    limits = Limits()
    fail(limits, OPENS_AFTER - 1)
    limits.answered("app", "host")
    fail(limits, OPENS_AFTER - 1)
    with limits.slot("app", "host"):
        assert limits.room("app", PER_APP) == PER_APP - 1
