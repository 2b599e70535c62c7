"""When: ahead of expiry with jitter, and ever less often after failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credentials.refresh import schedule
from credentials.refresh.circuit_breaker import (
    FAILURES_TO_OPEN,
    MAX_CALLS_PER_APP,
    OPEN_SECONDS,
    CircuitBreaker,
    ProviderBusyError,
)

HOUR = 3600
DAY = 24 * HOUR


def drawn(make: Callable[[], Any], times: int = 200) -> list[Any]:
    return [make() for _ in range(times)]


@pytest.mark.parametrize(
    ("lifetime", "lead"),
    [(HOUR, 360), (30 * DAY, 3 * DAY), (600, 120), (120, 60), (60, 30)],
)
def test_the_lead_is_a_tenth_and_at_least_two_minutes_but_never_half_a_life(lifetime, lead):
    assert schedule.compute_lead_time(lifetime) == lead


@pytest.mark.parametrize("lifetime", [60, 600, HOUR, 30 * DAY])
def test_a_refresh_is_planned_before_its_lead_and_not_at_once(lifetime):
    waits = drawn(lambda: schedule.compute_next_refresh_delay(lifetime))
    assert max(waits) <= lifetime - schedule.compute_lead_time(lifetime)
    assert min(waits) >= lifetime / 4


def test_tokens_that_came_together_do_not_go_together():
    waits = drawn(lambda: schedule.compute_next_refresh_delay(HOUR))
    assert max(waits) - min(waits) > 100


def test_a_grant_that_lapses_when_idle_is_used_before():
    assert schedule.compute_next_refresh_delay(30 * DAY, idle_days=1) == 0.8 * DAY
    assert schedule.compute_next_refresh_delay(None, refresh_expires_in=DAY) == 0.8 * DAY


def test_where_nothing_says_that_it_ends_nothing_is_planned():
    assert schedule.compute_next_refresh_delay(None) is None


@pytest.mark.parametrize(
    ("failures", "least"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (999, 300)]
)
def test_each_failure_doubles_the_wait_up_to_five_minutes(failures, least):
    waits = drawn(lambda: schedule.compute_retry_delay(failures, failing_for=0, retry_after=None))
    assert least <= min(waits) <= max(waits) <= least * 1.5


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1e9, HOUR)])
def test_retry_after_is_kept_up_to_an_hour(asked, waited):
    assert schedule.compute_retry_delay(1, failing_for=0, retry_after=asked) == waited


def test_after_four_days_it_is_tried_each_hour():
    waits = drawn(lambda: schedule.compute_retry_delay(5, failing_for=4 * DAY, retry_after=None))
    assert HOUR <= min(waits) <= max(waits) <= HOUR * 1.1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(limits: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with limits.slot("app", "host"):
            limits.record_failure("app", "host")


def test_an_app_has_a_bounded_number_of_calls_at_once():
    limits = CircuitBreaker()
    slots = [limits.slot("app", f"host-{n}") for n in range(MAX_CALLS_PER_APP)]
    for slot in slots:
        slot.__enter__()
    with pytest.raises(ProviderBusyError), limits.slot("app", "another"):
        pass
    assert limits.count_free_slots("app", MAX_CALLS_PER_APP) == 0
    slots[0].__exit__(None, None, None)
    with limits.slot("app", "another"):
        pass


def test_ten_failures_in_a_row_shut_the_gate_for_half_a_minute():
    clock = Clock()
    limits = CircuitBreaker(clock=clock)
    fail(limits, FAILURES_TO_OPEN)
    with pytest.raises(ProviderBusyError) as caught, limits.slot("other app", "host"):
        pass
    assert caught.value.retry_after == OPEN_SECONDS
    clock.now = OPEN_SECONDS + 1
    with limits.slot("other app", "host"):
        pass


def test_after_the_rest_one_call_tries_whether_it_is_over():
    clock = Clock()
    limits = CircuitBreaker(clock=clock)
    fail(limits, FAILURES_TO_OPEN)
    clock.now = OPEN_SECONDS + 1
    with limits.slot("app", "host"), pytest.raises(ProviderBusyError), limits.slot("app", "host"):
        pass
    with limits.slot("app", "host"):
        limits.record_failure("app", "host")
    with pytest.raises(ProviderBusyError), limits.slot("app", "host"):
        pass


def test_an_answer_ends_the_row_of_failures():
    limits = CircuitBreaker()
    fail(limits, FAILURES_TO_OPEN - 1)
    limits.record_response("app", "host")
    fail(limits, FAILURES_TO_OPEN - 1)
    with limits.slot("app", "host"):
        assert limits.count_free_slots("app", MAX_CALLS_PER_APP) == MAX_CALLS_PER_APP - 1
