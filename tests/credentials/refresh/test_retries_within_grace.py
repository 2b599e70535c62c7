"""A lost response is made good by a retry within the provider's grace, also if retries are lost too."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from credentials.core.grant_state import get_grant
from credentials.models import Credential
from credentials.refresh import attempt, get_fresh_token
from credentials.refresh.tasks import REFRESH_TASK
from tests.factories import TESTER

pytestmark = pytest.mark.django_db(transaction=True)

GRACE = 30


class Killed(BaseException):
    """The end of the process that waits for the provider."""


class Clock:
    """The clock of the database and of the provider, in seconds since the test began."""

    def __init__(self, settings, provider) -> None:
        self.now = 0
        self._settings = settings
        self._provider = provider

    def move(self, seconds: int) -> None:
        self.now += seconds
        self._settings.CLOCK_SHIFT_SECONDS = self.now
        self._provider.grants.shift = float(self.now)


@pytest.fixture
def clock(settings, provider, facts) -> Clock:
    provider.grants.grace = GRACE
    facts(grace_seconds=GRACE)
    return Clock(settings, provider)


@pytest.fixture
def kill(monkeypatch) -> Callable[[int], None]:
    """Kill the process after each of the next `count` requests, before it has the response."""
    left = [0]
    call = attempt.call_provider

    def call_and_die(*args):
        tokens = call(*args)
        if left[0] > 0:
            left[0] -= 1
            raise Killed
        return tokens

    monkeypatch.setattr(attempt, "call_provider", call_and_die)
    return lambda count: left.__setitem__(0, count)


def work(clock: Clock, provider, seconds: int) -> list[int]:
    """Let the worker look for due grants each second. Return the times of its requests."""
    times = []
    for _ in range(seconds):
        calls = len(provider.calls)
        for claim in REFRESH_TASK.claim("test", 8):
            with contextlib.suppress(Killed):
                REFRESH_TASK.run(claim)
        times += [clock.now] * (len(provider.calls) - calls)
        clock.move(1)
    return times


def test_killed_retries_are_repeated_until_the_grace_ends(clock, provider, grant, kill):
    row = grant()
    kill(3)
    times = work(clock, provider, GRACE + 10)
    assert len(times) == 4
    assert times[-1] <= GRACE - 3
    stored = get_grant(Credential.objects.get(id=row.id))
    assert (stored.generation, stored.state, stored.in_doubt_since) == (1, "active", None)
    assert provider.grants.reuses == []


def test_a_retry_is_placed_before_the_end_of_the_grace(clock, provider, grant, kill):
    grant()
    kill(1)
    (first,) = work(clock, provider, 1)
    # No worker runs for a while. The one that comes then is killed as well.
    clock.move(19)
    kill(1)
    (second, third) = work(clock, provider, GRACE - 20)
    assert (first, second) == (0, 20)
    assert third < GRACE
    assert provider.grants.reuses == []


def test_the_grace_counts_from_the_lost_response(clock, provider, grant):
    """Not from the first failure, which may be long ago and have changed nothing at the provider."""
    row = grant()
    provider.mode = "429_seconds"
    for _ in range(10):
        work(clock, provider, 1)
        clock.move(500)
    provider.mode = "500_after"
    (lost_at,) = work(clock, provider, 1)
    provider.mode = "reset_before"
    retries = work(clock, provider, GRACE - 10)
    assert len(retries) == 2
    provider.mode = "ok"
    work(clock, provider, 8)
    stored = get_grant(Credential.objects.get(id=row.id))
    assert (stored.generation, stored.state) == (1, "active")
    assert clock.now - lost_at < GRACE


def test_doubt_ends_with_the_first_attempt_that_changed_nothing(clock, provider, grant):
    row = grant()
    provider.mode = "429_seconds"
    work(clock, provider, 1)
    stored = get_grant(Credential.objects.get(id=row.id))
    assert (stored.unknowns, stored.in_doubt_since) == (0, None)


def test_callers_of_a_killed_process_retry_as_well(clock, provider, grant, kill):
    row = grant()
    kill(1)
    with pytest.raises(Killed):
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    clock.move(20)
    kill(1)
    with pytest.raises(Killed):
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    clock.move(7)
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert provider.grants.reuses == []
