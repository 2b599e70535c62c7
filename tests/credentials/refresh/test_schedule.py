"""The schedule of refreshes: before an expiry with jitter, and with growing delays after failures."""

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


def sample(make: Callable[[], Any], times: int = 200) -> list[Any]:
    return [make() for _ in range(times)]


@pytest.mark.parametrize(
    ("lifetime", "lead"),
    [(HOUR, 360), (30 * DAY, 3 * DAY), (600, 120), (120, 60), (60, 30)],
)
def test_lead_time_is_a_tenth_within_two_minutes_and_half_of_lifetime(lifetime, lead):
    assert schedule.compute_lead_time(lifetime) == lead


@pytest.mark.parametrize("lifetime", [60, 600, HOUR, 30 * DAY])
def test_refresh_is_scheduled_before_lead_time_and_not_at_once(lifetime):
    waits = sample(lambda: schedule.compute_next_refresh_delay(lifetime))
    assert max(waits) <= lifetime - schedule.compute_lead_time(lifetime)
    assert min(waits) >= lifetime / 4


def test_tokens_imported_together_are_not_refreshed_together():
    waits = sample(lambda: schedule.compute_next_refresh_delay(HOUR))
    assert max(waits) - min(waits) > 100


def test_idle_limit_is_respected():
    assert schedule.compute_next_refresh_delay(30 * DAY, idle_days=1) == 0.8 * DAY
    assert schedule.compute_next_refresh_delay(None, refresh_expires_in=DAY) == 0.8 * DAY


def test_unknown_lifetime_schedules_nothing():
    assert schedule.compute_next_refresh_delay(None) is None


@pytest.mark.parametrize(
    ("failures", "least"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (999, 300)]
)
def test_each_failure_doubles_delay_up_to_five_minutes(failures, least):
    waits = sample(lambda: schedule.compute_retry_delay(failures, failing_for=0, retry_after=None))
    assert least <= min(waits) <= max(waits) <= least * 1.5


@pytest.mark.parametrize(("asked", "waited"), [(30.0, 30.0), (1e9, HOUR)])
def test_retry_after_counts_up_to_an_hour(asked, waited):
    assert schedule.compute_retry_delay(1, failing_for=0, retry_after=asked) == waited


def test_delay_is_an_hour_after_four_days():
    waits = sample(lambda: schedule.compute_retry_delay(5, failing_for=4 * DAY, retry_after=None))
    assert HOUR <= min(waits) <= max(waits) <= HOUR * 1.1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def record_failures(limits: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with limits.slot("app", "host"):
            limits.record_failure("app", "host")


def test_concurrent_calls_of_app_are_limited():
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


def test_ten_consecutive_failures_open_circuit_for_half_a_minute():
    clock = Clock()
    limits = CircuitBreaker(clock=clock)
    record_failures(limits, FAILURES_TO_OPEN)
    with pytest.raises(ProviderBusyError) as caught, limits.slot("other app", "host"):
        pass
    assert caught.value.retry_after == OPEN_SECONDS
    clock.now = OPEN_SECONDS + 1
    with limits.slot("other app", "host"):
        pass


def test_half_open_circuit_allows_one_call():
    clock = Clock()
    limits = CircuitBreaker(clock=clock)
    record_failures(limits, FAILURES_TO_OPEN)
    clock.now = OPEN_SECONDS + 1
    with limits.slot("app", "host"), pytest.raises(ProviderBusyError), limits.slot("app", "host"):
        pass
    with limits.slot("app", "host"):
        limits.record_failure("app", "host")
    with pytest.raises(ProviderBusyError), limits.slot("app", "host"):
        pass


def test_response_resets_failures():
    limits = CircuitBreaker()
    record_failures(limits, FAILURES_TO_OPEN - 1)
    limits.record_response("app", "host")
    record_failures(limits, FAILURES_TO_OPEN - 1)
    with limits.slot("app", "host"):
        assert limits.count_free_slots("app", MAX_CALLS_PER_APP) == MAX_CALLS_PER_APP - 1
