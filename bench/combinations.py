"""`tools/with-postgres python -m bench.combinations`: every filter, pair and triple of filters.

Each filter has a value that many rows match, one that only old rows match, one that a single row
matches, and one that none does. The combinations are read one by one in process, as the API reads
them, and the worst are printed, with the time of each statement's database included.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from bench import environment

if TYPE_CHECKING:
    from bench.fill import Filled

LIMIT = 50
WORST = 10
_FAR = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


class Value(NamedTuple):
    """A value of a filter, and the share of the rows that match it."""

    name: str
    text: str
    share: str


class Timing(NamedTuple):
    ms: float
    rows: int
    title: str


def main() -> None:
    from bench.sequences import skew

    filled = environment.filled(__doc__)
    skew(filled)
    measure(filled)


def measure(filled: Filled) -> None:
    """Print how long the combinations take, by their size, and the worst of them."""
    for size in (1, 2, 3):
        timings = [read(filled, chosen) for chosen in combine(build_values(filled), size)]
        ordered = sorted(timing.ms for timing in timings)
        print(
            f"\n{len(timings)} combinations of {size}: median {statistics.median(ordered):.1f} ms,"
            f" p99 {ordered[int(len(ordered) * 0.99)]:.1f}, over 50 ms"
            f" {sum(ms > 50 for ms in ordered)}, over 500 ms {sum(ms > 500 for ms in ordered)}"
        )
        for timing in sorted(timings, reverse=True)[:WORST]:
            print(f"{timing.ms:9.1f} ms  {timing.rows:3} rows  {timing.title}", flush=True)
    print("\nload average", *(f"{load:.1f}" for load in os.getloadavg()))


def build_values(filled: Filled) -> list[Value]:
    """Return the values of every filter of the list."""
    middle, old = filled.count // 2, filled.get_created_at(filled.count // 100).isoformat()
    return [
        Value("provider", "salesforce", "2 in 10"),
        Value("provider", "marketo", "old"),
        Value("provider", "unknown", "none"),
        Value("kind", "stripe_key", "3 in 10"),
        Value("kind", "airtable_key", "1 in 1,000"),
        Value("health.status", "ok", "9 in 10"),
        Value("health.status", "warn", "1 in 20"),
        Value("health.status", "error", "1 in 1,000"),
        Value("metadata", json.dumps({"plan": "team"}), "1 in 4"),
        Value("metadata", json.dumps({"era": "old"}), "old"),
        Value("metadata", json.dumps({"customer_id": f"cus_{middle:08}"}), "one"),
        Value("metadata", json.dumps({"customer_id": "unknown"}), "none"),
        Value("oauth_app_id", str(filled.apps["linear"]), "1 in 10"),
        Value("owner_email", "owner7@example.com", "1 in 997"),
        Value("external_id", "unknown", "none"),
        Value("refresh.state", "fresh", "some"),
        Value("refresh.state", "due", "many"),
        Value("refresh.state", "needs_reauth", "none"),
        Value("q", "arrakis", "1 in 10"),
        Value("q", f"Ix {middle + 5}", "one"),
        Value("q", "without match", "none"),
        Value("expiring_before", _FAR.isoformat(), "6 in 10"),
        Value("expiring_before", "2026-01-01T13:00:00Z", "few"),
        Value("created_before", old, "old"),
        Value("created_after", old, "nearly all"),
    ]


def combine(values: list[Value], size: int) -> Iterator[tuple[Value, ...]]:
    """Yield the combinations of values of different filters."""
    for chosen in itertools.combinations(values, size):
        if len({value.name for value in chosen}) == size:
            yield chosen


def read(filled: Filled, chosen: tuple[Value, ...]) -> Timing:
    """Return the time of the second of two readings of one page: the first warms the caches."""
    from common.db.planner import ListTimeoutError
    from credentials.api.filters import CredentialFilter
    from credentials.core import queries
    from credentials.models import Credential

    title = " & ".join(f"{value.name} ({value.share})" for value in chosen)
    data = {value.name: value.text for value in chosen}
    ms, rows = 0.0, 0
    for _ in range(2):
        started = time.perf_counter()
        try:
            queryset = Credential.objects.filter(account_id=filled.account_id)
            filters = CredentialFilter(data, queryset, request=FilterRequest(filled))
            rows = len(queries.fetch_filtered(filters.qs, LIMIT + 1))
        except ListTimeoutError:
            title, rows = f"{title}  503", 0
        ms = (time.perf_counter() - started) * 1000
        if rows == 0 and "503" in title:
            break
    return Timing(ms, rows, title)


class FilterRequest:
    """The part of a request that the filters read."""

    def __init__(self, filled: Filled) -> None:
        from common.actors import Principal, get_command_actor

        self.user = Principal(
            account_id=filled.account_id,
            actor=get_command_actor("bench"),
            scopes=frozenset(),
            bearer_id=filled.account_id,
            is_session=False,
        )


if __name__ == "__main__":
    main()
