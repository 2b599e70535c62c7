"""`tools/with-postgres python -m bench.refresh_wal`: the WAL of a refresh, and the share of HOT updates.

The whole path of the worker runs in this process: claim, request, outcome. It uses only names that
older checkouts have as well, so a copy of this file measures them, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bench import environment

THREADS: Final = 8
LIFETIME: Final = 3600
"""Seconds that the token server's access tokens live. The clock is moved on by more each round."""

_STATISTICS: Final = """
    SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
    WHERE n_tup_upd > 0 ORDER BY relname
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grants", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=6, help="default: %(default)s")
    chosen = parser.parse_args()
    environment.prepare()

    from bench import refreshing
    from bench.fill import prepare

    prepare()
    refreshing.DELAY = 0  # Only the database is measured.
    with refreshing._token_server() as server, tempfile.TemporaryDirectory() as folder:
        environ = refreshing._register(server, Path(folder))
        _allow(environ["EGRESS_ALLOW"])
        refreshing._fill(server, chosen.grants)
        _measure(chosen.grants, chosen.rounds)


def _allow(host: str) -> None:
    from django.conf import settings

    settings.EGRESS_ALLOW = host


def _measure(grants: int, rounds: int) -> None:
    from django.conf import settings
    from django.db import connection

    # The first refresh of each grant also creates the rows that later ones update.
    _refresh_all(grants)
    with connection.cursor() as cursor:
        # Full pages after a checkpoint depend on its time, not on the refreshes.
        cursor.execute("ALTER SYSTEM SET full_page_writes = off")
        cursor.execute("SELECT pg_reload_conf()")
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT pg_stat_reset()")
        time.sleep(1)
        start, started = _fetch_one(cursor, "SELECT pg_current_wal_lsn()"), time.monotonic()
        for number in range(1, rounds + 1):
            settings.CLOCK_SHIFT_SECONDS = number * (LIFETIME + 60)
            _refresh_all(grants)
        seconds = time.monotonic() - started
        count = grants * rounds
        wal = _fetch_one(cursor, "SELECT pg_current_wal_lsn() - %s::pg_lsn", [start])
        time.sleep(2)  # The statistics of other sessions arrive late.
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(_STATISTICS)
        updates = cursor.fetchall()
    print(
        f"{count:,} refreshes, {count / seconds:.0f} a second: {float(wal) / count:,.0f} bytes of WAL each"
    )
    for table, all_updates, hot in updates:
        print(f"{table:32} {all_updates / count:5.2f} updates each, {hot / all_updates:4.0%} HOT")
    total, hot = (sum(row[at] for row in updates) for at in (1, 2))
    print(f"{'all':32} {total / count:5.2f} updates each, {hot / total:4.0%} HOT")


def _refresh_all(grants: int) -> None:
    """Run the worker's task until every grant was refreshed once."""
    from django.db import connection

    from credentials.refresh.tasks import RefreshTask

    task, done = RefreshTask(), 0

    def run(claim: Any) -> None:
        task.run(claim)
        connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        while done < grants:
            claims = task.claim("bench", 64)
            list(pool.map(run, claims))
            done += len(claims)


def _fetch_one(cursor: Any, sql: str, params: Any = None) -> Any:
    cursor.execute(sql, params)
    return cursor.fetchone()[0]


if __name__ == "__main__":
    main()
