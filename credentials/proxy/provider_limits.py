"""A provider's own limits: never more than `requests` in any `seconds`, over all processes.

The window slides: there are ten counters, each of a ninth of `seconds`. Any interval of that length
touches at most ten ninths, and the sum of all counters never exceeds `requests`. So all may go out
at once, and who asks without a pause gets nine tenths of what the provider allows.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from django.db import connection

from common.concurrency import sleep
from common.db.dialect import adapt, epoch_sql, floor_sql, greatest_sql
from credentials.proxy.limits import (
    MAX_WAIT_SECONDS,
    Rate,
    build_too_many_error,
)

COUNTERS: Final = 10
_PARTS: Final = COUNTERS - 1
_TABLE: Final = "proxy_window"
_USED: Final = tuple(f"used_{at}" for at in range(COUNTERS))


def consume_provider_limits(id: uuid.UUID, windows: Iterable[Rate]) -> None:
    """Count one request in each, waiting up to PATIENCE in all. Raises TooMany with Retry-After.

    Shorter windows first: what a longer one then refuses was counted for no longer than those last.
    """
    until = time.monotonic() + MAX_WAIT_SECONDS
    for window in windows:
        while not _taken(id, window):
            wait = _wait(id, window)
            if time.monotonic() + wait > until:
                detail = "The provider's documented rate limit is reached."
                raise build_too_many_error(detail, wait, "provider_rate_limited")
            sleep(wait)


def _taken(id: uuid.UUID, window: Rate) -> bool:
    """One conditional statement: `slot` is the newest ninth counted, each counter the last of its place."""
    first = (f"CASE WHEN slot %% {COUNTERS} = {at} THEN 1 ELSE 0 END" for at in range(COUNTERS))
    kept = [_kept(at) for at in range(COUNTERS)]
    added = (f"{name} = {kept[at]} + excluded.{name}" for at, name in enumerate(_USED))
    sql = (
        f"INSERT INTO {_TABLE} (credential_id, seconds, slot, {', '.join(_USED)})"  # noqa: S608
        f" SELECT %s, %s, slot, {', '.join(first)} FROM (SELECT {_slot(window)} AS slot) AS now"
        f" WHERE TRUE ON CONFLICT (credential_id, seconds) DO UPDATE"
        f" SET slot = {greatest_sql()}({_TABLE}.slot, excluded.slot), {', '.join(added)}"
        f" WHERE {' + '.join(kept)} < %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [adapt(id), window.seconds, window.requests])
        return bool(cursor.rowcount)


def _kept(at: int) -> str:
    """What a counter still holds: nothing where its place has come round since it was counted."""
    age = f"(excluded.slot - {at}) %% {COUNTERS}"
    passed = f"{age} < excluded.slot - {_TABLE}.slot"
    return f"CASE WHEN {passed} THEN 0 ELSE {_TABLE}.used_{at} END"


def _wait(id: uuid.UUID, window: Rate) -> float:
    sql = (
        f"SELECT slot, {_now(window)}, {', '.join(_USED)} FROM {_TABLE}"  # noqa: S608
        " WHERE credential_id = %s AND seconds = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [adapt(id), window.seconds])
        row = cursor.fetchone()
    if row is None:
        return 0.01
    slot, now, *used = row
    return max(
        parts_until_free(window.requests, slot, float(now), used) * window.seconds / _PARTS, 0.01
    )


def parts_until_free(requests: int, slot: int, now: float, used: Sequence[int]) -> float:
    """How many ninths of a window until one more fits; `now` in ninths, as `slot` is."""
    newest = max(int(now), slot)
    counted = {slot - (slot - at) % COUNTERS: used[at] for at in range(COUNTERS)}
    for oldest in range(newest - _PARTS, newest + 1):
        if sum(number for at, number in counted.items() if at >= oldest) < requests:
            return max(oldest + _PARTS - now, 0.0)
    return newest + COUNTERS - now


def _now(window: Rate) -> str:
    return f"{epoch_sql()} * {_PARTS} / {window.seconds:d}"


def _slot(window: Rate) -> str:
    return floor_sql(_now(window))
