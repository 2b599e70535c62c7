"""Lists under more connections than the database pool has, with request slots and without.

    tools/with-postgres .venv/bin/python -m bench.request_slots --rows 20000

Both servers have 64 threads and a pool of eight connections. docs/architecture.md has the figures.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections import Counter
from typing import Final

from bench import page
from bench.environment import filled
from bench.servers import APPLICATIONS, PRODUCT, Served, serve
from config.env import BLOCKING_THREADS

CONNECTIONS: Final = (16, 64)
ROUNDS: Final = 3
SECONDS: Final = 5.0
WITHOUT: Final = "without slots"


class Load:
    """The milliseconds of every response, and how many had each status."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.statuses = Counter[int]()

    def run(self, served: Served, token: str, connections: int) -> None:
        end = time.monotonic() + SECONDS
        threads = [
            threading.Thread(target=self._request, args=(served, token, end))
            for _ in range(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _request(self, served: Served, token: str, end: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        while time.monotonic() < end:
            started_at = time.perf_counter()
            connection.request("GET", page.PATH, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
            self.milliseconds.append((time.perf_counter() - started_at) * 1000)
            self.statuses[response.status] += 1
        connection.close()


def main() -> None:
    token = filled(__doc__).token
    APPLICATIONS[WITHOUT] = ("bench.without_slots:application", "config.settings", BLOCKING_THREADS)
    print(f"{'':<16}{'connections':>12}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}  statuses")
    with serve(PRODUCT) as product, serve(WITHOUT) as without:
        for connections in CONNECTIONS:
            loads = {"with slots": (product, Load()), WITHOUT: (without, Load())}
            for _ in range(ROUNDS):
                for served, load in loads.values():
                    load.run(served, token, connections)
            for name, (_, load) in loads.items():
                rate = len(load.milliseconds) / ROUNDS / SECONDS
                cuts = statistics.quantiles(load.milliseconds, n=100)
                print(
                    f"{name:<16}{connections:>12}{rate:>12.0f}{cuts[49]:>9.1f}{cuts[98]:>9.1f}"
                    f"  {dict(load.statuses)}"
                )


if __name__ == "__main__":
    main()
