"""The retry schedule that Standard Webhooks publishes: three days and some hours in all."""

from __future__ import annotations

import datetime as dt
from typing import Final

from common.backoff import get_backoff

SECOND, MINUTE, HOUR = 1, 60, 3600

# Seconds after the first, second, … failed attempt; the tenth failure is final.
RETRY_DELAYS: Final = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
MAX_ATTEMPTS: Final = len(RETRY_DELAYS) + 1
JITTER: Final = 0.1
MAX_RETRY_AFTER: Final = 24 * HOUR
DISABLE_ENDPOINT_AFTER: Final = dt.timedelta(days=5)

_FIRST_QUIET_PERIOD: Final = dt.timedelta(seconds=5)
_LONGEST_QUIET_PERIOD: Final = dt.timedelta(minutes=5)


def get_retry_delay(attempts: int, *, jitter: float, at_least: float = 0) -> dt.timedelta | None:
    """Return the delay after `attempts` failed attempts, or None if there is no other attempt.

    `jitter`, from 0 to 1, adds up to a tenth of the delay. `at_least` is the receiver's Retry-After
    in seconds, applied up to a day.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    delay = RETRY_DELAYS[attempts - 1] * (1 + JITTER * jitter)
    return dt.timedelta(seconds=max(delay, min(at_least, MAX_RETRY_AFTER)))


def get_quiet_period(failures: int) -> dt.timedelta:
    """Return how long nothing is sent to an endpoint after `failures` consecutive failures.

    It is zero after the first failure, then 5 seconds, doubled up to 5 minutes. It never exceeds
    the delay that as many failures give to one delivery.
    """
    if failures < 2:
        return dt.timedelta()
    return get_backoff(failures - 1, first=_FIRST_QUIET_PERIOD, longest=_LONGEST_QUIET_PERIOD)
