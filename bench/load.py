"""Load: 16 keep-alive connections for some seconds, by wrk, or by threads where it is not installed."""

from __future__ import annotations

import http.client
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from typing import NamedTuple

from bench.servers import Served

CONNECTIONS = 16
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Round(NamedTuple):
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time of the server per request; its database's is not in it."""


def tool() -> str:
    return "wrk" if shutil.which("wrk") else "threads of Python"


def load(served: Served, target: str, token: str, seconds: float) -> Round:
    """Run one round. Exit if a response is not 200: it would measure errors."""
    before = served.cpu_seconds()
    measure = _wrk if shutil.which("wrk") else _threads
    count, per_second, p50, p99 = measure(served, target, token, seconds)
    return Round(per_second, p50, p99, (served.cpu_seconds() - before) * 1000 / count)


def median(rounds: list[Round]) -> Round:
    return Round(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _wrk(
    served: Served, target: str, token: str, seconds: float
) -> tuple[int, float, float, float]:
    command = [
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency"),
        *("-H", f"Authorization: Bearer {token}", served.url(target)),
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"bench: {served.name} refused some requests:\n{text}")
    count = int(_find(r"(\d+) requests in", text))
    p50, p99 = (_ms(_find(rf"\s{share}%\s+(\S+)", text)) for share in (50, 99))
    return count, float(_find(r"Requests/sec:\s+(\S+)", text)), p50, p99


def _threads(
    served: Served, target: str, token: str, seconds: float
) -> tuple[int, float, float, float]:
    taken: list[float] = []
    refused: list[int] = []
    end = time.perf_counter() + seconds

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        while (start := time.perf_counter()) < end:
            connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
            taken.append(time.perf_counter() - start)
            if response.status != 200:
                refused.append(response.status)
                return

    threads = [threading.Thread(target=call) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if refused or not taken:
        sys.exit(f"bench: {served.name} refused with {refused}")
    shares = statistics.quantiles(taken, n=100)
    return len(taken), len(taken) / seconds, shares[49] * 1000, shares[98] * 1000


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        sys.exit(f"bench: wrk's output is not understood:\n{text}")
    return found[1]


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
