"""Times of the next refresh: ahead of an expiry, and after a failure. Pure functions, in seconds."""

from __future__ import annotations

import random
from typing import Final

from common.backoff import get_backoff
from providers.kinds import Refresh

MIN_LEAD_TIME: Final = 120.0
"""A token is refreshed at least this long before it expires, or at half its lifetime if that is later."""

LEAD_SHARE: Final = 0.1
"""The lead time of long lifetimes, as a share of the lifetime. Half of it again is random."""

FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 300.0
MAX_RETRY_AFTER: Final = 3600.0
EXHAUSTED_AFTER: Final = 4 * 24 * 3600.0
"""A refresh that fails for this long is tried each hour only."""

EXHAUSTED_RETRY: Final = 3600.0
FIRST_APP_PAUSE: Final = 60.0
REJECTED_RETRY: Final = 24 * 3600.0
"""Seconds between attempts for a grant that the provider rejects for an unknown reason."""

REJECTED_AFTER_SECONDS: Final = 72 * 3600.0
"""A grant that is rejected for so long is given up if other grants of its app work at the same time."""

REJECTED_AFTER_ALONE_SECONDS: Final = 7 * 24 * 3600.0
"""...and after so long if another grant of its app lives, refreshed or not."""

PAUSE: Final = 3600.0
"""The pause of an app that its provider rejects, and of a grant that cannot be decrypted."""

_DAY: Final = 24 * 3600.0
_USED_SHARE: Final = 0.8
"""The share of a refresh token's lifetime after which it is used at the latest."""

CALL_SECONDS: Final = 90.0
"""The longest life of one request to a provider."""

SHORTEST_LEASE: Final = 25
SHORTEST_GRACE_LEASE: Final = 8
"""Four heartbeats of a process that lives."""

LAST_GRACE_LEASE: Final = 5
"""...and the lease of the last request but one within a grace."""

RETRIES_WITHIN_GRACE: Final = 3
LONGEST_LEASE: Final = 95
"""Seconds after which a request is certainly over."""

GRACE_MARGIN: Final = 5

_random = random.SystemRandom()


def compute_lead_time(lifetime: float) -> float:
    """Return how long before its expiry a token is refreshed at the latest."""
    return min(max(MIN_LEAD_TIME, LEAD_SHARE * lifetime), lifetime / 2)


def compute_next_refresh_delay(
    expires_in: int | None, *, refresh_expires_in: int | None = None, idle_days: int | None = None
) -> float | None:
    """Return the time from one refresh to the next, None if no lifetime is known.

    `idle_days` is the time after which an unused refresh token expires.
    """
    delays = []
    if expires_in is not None:
        # Jitter only makes it earlier. Otherwise thousands of grants that were imported together
        # would also be refreshed together.
        jitter = _random.uniform(0, LEAD_SHARE * expires_in / 2)
        delays.append(max(expires_in - compute_lead_time(expires_in) - jitter, expires_in / 4))
    if refresh_expires_in is not None:
        delays.append(_USED_SHARE * refresh_expires_in)
    if idle_days is not None:
        delays.append(_USED_SHARE * idle_days * _DAY)
    return min(delays) if delays else None


def compute_first_refresh_delay(remaining: float, lifetime: float | None) -> float:
    """Return the time from an import to the first refresh of a token that expires in `remaining`."""
    whole = max(remaining, lifetime or 0)
    jitter = _random.uniform(0, LEAD_SHARE * max(remaining, 0) / 2)
    return max(remaining - compute_lead_time(whole) - jitter, 0.0)


def compute_retry_delay(failures: int, *, failing_for: float, retry_after: float | None) -> float:
    """Return the delay after `failures` in a row: 1, 2, 4 … 300, plus up to a half at random.

    It is an hour after four days of failures, and never less than the provider's Retry-After, of
    which an hour at most counts.
    """
    if failing_for >= EXHAUSTED_AFTER:
        delay = EXHAUSTED_RETRY * (1 + _random.uniform(0, LEAD_SHARE))
    else:
        delay = get_backoff(failures, first=FIRST_RETRY, longest=LAST_RETRY)
        delay *= 1 + _random.uniform(0, 0.5)
    return max(delay, min(retry_after or 0.0, MAX_RETRY_AFTER))


def compute_lease_seconds(refresh: Refresh | None, *, responds_fast: bool) -> int:
    """Return how long a grant is left alone after a process died during its refresh, in seconds.

    The request of the dead process may still be processed: a second one at the same time would
    make a strict provider revoke the grant. A stated grace allows the second one before it ends.
    Otherwise it waits for the end of the request, or 25 s if the provider responds fast.
    """
    if refresh and refresh.grace_seconds:
        seconds = max(_compute_grace_interval(refresh.grace_seconds), SHORTEST_GRACE_LEASE)
        return int(min(seconds, LONGEST_LEASE))
    if refresh and refresh.rotates is False:
        return SHORTEST_LEASE  # Requests do not invalidate each other.
    if refresh and refresh.grace_seconds is None and responds_fast:
        return SHORTEST_LEASE
    return LONGEST_LEASE


def compute_lease_within_grace(lease: int, grace_seconds: int, seconds_in_doubt: float) -> int:
    """Return `lease`, or less if the grace of the previous grant would end before it, less a margin.

    It is never too short to notice that its process lives. A grace that is over changes nothing.
    """
    remaining = int(grace_seconds - GRACE_MARGIN - seconds_in_doubt)
    return min(lease, max(remaining, LAST_GRACE_LEASE)) if remaining > 0 else lease


def compute_delay_within_grace(
    delay: float, grace_seconds: int, seconds_in_doubt: float, *, retry_after: float | None
) -> float:
    """Return `delay`, but no longer than the grace of the previous grant lasts, less a margin.

    `seconds_in_doubt` is the time since the first attempt whose outcome is unknown. A grace that is
    over changes nothing. A back-off is so short that there are several retries. If the provider
    states `retry_after`, there is a single one at the end.
    """
    remaining = grace_seconds - GRACE_MARGIN - seconds_in_doubt
    if remaining <= 0:
        return delay
    if not retry_after:
        delay = min(delay, _compute_grace_interval(grace_seconds))
    return min(delay, max(remaining, 1.0))


def _compute_grace_interval(grace_seconds: int) -> float:
    """Return the time between two requests within a grace: retries may be lost as well."""
    return (grace_seconds - GRACE_MARGIN) / RETRIES_WITHIN_GRACE


def compute_app_pause(pauses: int) -> float:
    """Return for how many seconds to pause an app after `pauses` in a row: 60, 120, 240 ... 3600."""
    return float(min(FIRST_APP_PAUSE * 2.0 ** min(pauses, 20), PAUSE))


def compute_pause() -> float:
    """Return the length of a pause, randomised by a tenth."""
    return PAUSE * (1 + _random.uniform(-LEAD_SHARE, LEAD_SHARE))
