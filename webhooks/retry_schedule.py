"""When to try again: the schedule that Standard Webhooks publishes, three days and some hours."""

from __future__ import annotations

import datetime as dt
from typing import Final

SECOND, MINUTE, HOUR = 1, 60, 3600

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
"""Seconds after the first, second, … failed attempt; after the tenth it is given up."""

MAX_ATTEMPTS: Final = len(RETRY_DELAYS) + 1
JITTER: Final = 0.1
MAX_RETRY_AFTER: Final = 24 * HOUR
DISABLE_ENDPOINT_AFTER: Final = dt.timedelta(days=5)

_QUIET_FIRST: Final = 5
_QUIET_LONGEST: Final = 5 * MINUTE


def get_retry_delay(attempts: int, *, jitter: float, at_least: float = 0) -> dt.timedelta | None:
    """How long to wait after `attempts` failures; None: no more.

    `jitter` in 0…1 adds up to a tenth, never takes away. `at_least` is what the receiver asked for
    (Retry-After), a day at most.
    """
    if attempts >= MAX_ATTEMPTS:
        return None
    own = RETRY_DELAYS[attempts - 1] * (1 + JITTER * jitter)
    return dt.timedelta(seconds=max(own, min(at_least, MAX_RETRY_AFTER)))


def get_quiet_period(failures: int) -> dt.timedelta:
    """How long an endpoint is left alone after so many failures in a row: none after one, then
    5 s, doubling to 5 min. It never outlasts the wait that the same failures gave one delivery."""
    if failures < 2:
        return dt.timedelta()
    doubled = _QUIET_FIRST * 2 ** min(failures - 2, 10)
    return dt.timedelta(seconds=min(doubled, _QUIET_LONGEST))
