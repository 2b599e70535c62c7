"""When a grant is refreshed ahead of its expiry, and when after a failure. Pure functions, in seconds."""

from __future__ import annotations

import random
from typing import Final

MARGIN: Final = 120.0
"""A token is refreshed at least so long before it ends, or at half its life if that is later."""

SHARE: Final = 0.1
"""…or this part of its lifetime, whichever is longer; and as much again is the jitter's."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 300.0
RETRY_AFTER_CAP: Final = 3600.0
EXHAUSTED_AFTER: Final = 4 * 24 * 3600.0
"""Failing for so long is reported as `refresh_exhausted`; it is still tried, each hour."""

EXHAUSTED_RETRY: Final = 3600.0
PAUSE: Final = 3600.0
"""How long an app that its provider refuses is left alone, and a seal that does not open."""

_DAY: Final = 24 * 3600.0
_USED_UP: Final = 0.8

_random = random.SystemRandom()


def compute_lead_time(lifetime: float) -> float:
    """How long before its end a token is refreshed at the latest."""
    return min(max(MARGIN, SHARE * lifetime), lifetime / 2)


def compute_next_refresh_delay(
    expires_in: int | None, *, refresh_expires_in: int | None = None, idle_days: int | None = None
) -> float | None:
    """Seconds from a refresh to the next one; None: nothing says that one is ever needed.

    A refresh token that ends, or lapses when idle, is used before: at 80 % of its time. The jitter
    only ever makes it earlier, so that ten thousand that came together do not go together.
    """
    limits = []
    if expires_in is not None:
        early = _random.uniform(0, SHARE * expires_in / 2)
        limits.append(max(expires_in - compute_lead_time(expires_in) - early, expires_in / 4))
    if refresh_expires_in is not None:
        limits.append(_USED_UP * refresh_expires_in)
    if idle_days is not None:
        limits.append(_USED_UP * idle_days * _DAY)
    return min(limits) if limits else None


def compute_first_refresh_delay(remaining: float, lifetime: float | None) -> float:
    """Seconds from an import to the first refresh of a token that has `remaining` seconds left."""
    whole = max(remaining, lifetime or 0)
    early = _random.uniform(0, SHARE * max(remaining, 0) / 2)
    return max(remaining - compute_lead_time(whole) - early, 0.0)


def compute_retry_delay(failures: int, *, failing_for: float, retry_after: float | None) -> float:
    """Seconds until the attempt after `failures` in a row: 1, 2, 4 … 300, and up to a half more.

    Never before the provider's own Retry-After (an hour at most); each hour once exhausted.
    """
    if failing_for >= EXHAUSTED_AFTER:
        wait = EXHAUSTED_RETRY
    else:
        wait = min(FIRST_RETRY * 2.0 ** min(failures - 1, 20), LAST_RETRY)
    wait *= 1 + _random.uniform(0, 0.5 if failing_for < EXHAUSTED_AFTER else SHARE)
    return max(wait, min(retry_after or 0.0, RETRY_AFTER_CAP))


def compute_pause() -> float:
    return PAUSE * (1 + _random.uniform(-SHARE, SHARE))
