"""A provider's documented limits: at most `requests` in any `seconds`, over all processes.

The window slides. It has ten counters, each for a ninth of `seconds`. Any interval of that length
touches at most ten ninths, and the sum of all counters never exceeds `requests`. So a burst of
`requests` is allowed, and a caller without pauses gets nine tenths of what the provider allows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from django.db import connection

from common.db.dialect import adapt, epoch_sql, floor_sql, greatest_sql
from credentials.proxy.limits import Rate, consume_limits

COUNTERS: Final = 10
_PARTS: Final = COUNTERS - 1
_TABLE: Final = "proxy_window"
_COLUMNS: Final = tuple(f"used_{index}" for index in range(COUNTERS))


def consume_provider_limits(id: uuid.UUID, limits: Iterable[Rate]) -> None:
    """Count one request for each limit, waiting up to MAX_WAIT_SECONDS in all.

    `limits` are sorted, the shortest interval first: if a longer one rejects the request, the
    shorter ones have counted it for a short time only. Raises TooManyRequestsError with Retry-After.
    """
    detail = "The provider's documented rate limit is reached."
    consume_limits((ProviderLimit(id, rate) for rate in limits), detail, "provider_rate_limited")


class ProviderLimit:
    """The counters of one limit.

    The column `slot` is the number of the newest ninth that was counted. Each counter is for the
    newest ninth whose number ends in its index.
    """

    def __init__(self, id: uuid.UUID, rate: Rate) -> None:
        self._id = adapt(id)
        self._rate = rate
        self._position_sql = f"{epoch_sql()} * {_PARTS} / {rate.seconds:d}"
        """The current time in ninths of the limit's interval."""

    def consume(self) -> bool:
        first_counts = (
            f"CASE WHEN slot %% {COUNTERS} = {index} THEN 1 ELSE 0 END" for index in range(COUNTERS)
        )
        # A counter is 0 if its ninth is older than the window.
        valid_counts = [
            f"CASE WHEN (excluded.slot - {index}) %% {COUNTERS} < excluded.slot - {_TABLE}.slot"
            f" THEN 0 ELSE {_TABLE}.{name} END"
            for index, name in enumerate(_COLUMNS)
        ]
        sums = (
            f"{name} = {valid} + excluded.{name}"
            for name, valid in zip(_COLUMNS, valid_counts, strict=True)
        )
        with connection.cursor() as cursor:
            # One conditional statement decides, so any number of processes share one limit.
            cursor.execute(
                f"INSERT INTO {_TABLE} (credential_id, seconds, slot, {', '.join(_COLUMNS)})"  # noqa: S608
                f" SELECT %s, %s, slot, {', '.join(first_counts)}"
                f" FROM (SELECT {floor_sql(self._position_sql)} AS slot) AS now"
                f" WHERE TRUE ON CONFLICT (credential_id, seconds) DO UPDATE"
                f" SET slot = {greatest_sql()}({_TABLE}.slot, excluded.slot), {', '.join(sums)}"
                f" WHERE {' + '.join(valid_counts)} < %s",
                [self._id, self._rate.seconds, self._rate.requests],
            )
            return bool(cursor.rowcount)

    def get_wait(self) -> float:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT slot, {self._position_sql}, {', '.join(_COLUMNS)} FROM {_TABLE}"  # noqa: S608
                " WHERE credential_id = %s AND seconds = %s",
                [self._id, self._rate.seconds],
            )
            row = cursor.fetchone()
        if row is None:
            return 0.0
        slot, now, *counts = row
        parts = parts_until_free(self._rate.requests, slot, float(now), counts)
        return parts * self._rate.seconds / _PARTS


def parts_until_free(requests: int, slot: int, now: float, counts: Sequence[int]) -> float:
    """Return the ninths of a window until one more request fits. `now` is in ninths, like `slot`."""
    newest = max(int(now), slot)
    count_by_slot = {slot - (slot - index) % COUNTERS: counts[index] for index in range(COUNTERS)}
    for oldest in range(newest - _PARTS, newest + 1):
        if sum(count for number, count in count_by_slot.items() if number >= oldest) < requests:
            return max(oldest + _PARTS - now, 0.0)
    return newest + COUNTERS - now
