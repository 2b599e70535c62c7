"""Two hundred providers that never respond, and two hundred healthy ones, in one worker."""

from __future__ import annotations

import itertools
import time
from typing import Final

from tools.fault_injection.stage import Check, Stage, check, check_range, wait_until

COUNT: Final = 200
LIFETIME: Final = 60
WATCH_SECONDS: Final = 120.0
DELAY: Final = 0.3


def prove(stage: Stage) -> list[Check]:
    """Measure the healthy ones alone for two minutes, then together with the silent ones."""
    healthy = [f"healthy{number}" for number in range(COUNT)]
    silent = [f"silent{number}" for number in range(COUNT)]
    for service in healthy:
        stage.provider.add_service(service, delay=DELAY, lifetime=LIFETIME)
    for service in silent:
        stage.provider.add_service(service, is_silent=True)
    stage.install()
    for service in healthy:
        stage.connect(service, ["ann"])
    first = _measure_first_round(stage, healthy, "worker-0")
    late_alone = _count_late(stage, healthy)
    for service in silent:
        stage.connect(service, ["ann"])
    # At the most unfavourable time: all of both are due when a worker starts.
    stage.installation.processes["worker-0"].stop()
    time.sleep(LIFETIME)
    second = _measure_first_round(stage, healthy, "worker-1")
    late = _count_late(stage, healthy)
    requested = sum(bool(stage.provider.count(service)["calls"]) for service in silent)
    health = {row["health"]["status"] for row in stage.client.list_credentials()}
    return [
        check("silent: providers that got a request", requested, COUNT),
        check_range("silent: seconds until all healthy ones were refreshed, alone", first, 0, 60),
        check_range("silent: the same with the silent ones", second, 0, first * 1.5 + 5),
        check("silent: healthy tokens that expired before their refresh, alone", late_alone, 0),
        check("silent: the same with the silent ones", late, 0),
        check("silent: credentials in error", "error" in health, False),
    ]


def _measure_first_round(stage: Stage, services: list[str], worker: str) -> float:
    """Start a worker. Return the seconds until each service has granted one more refresh."""
    start = time.monotonic()
    before = stage.provider.count_granted()
    stage.installation.start_worker(worker)

    def is_done() -> bool:
        granted = stage.provider.count_granted()
        return all(granted[service] > before[service] for service in services)

    wait_until(is_done, 180, 0.2)
    return time.monotonic() - start


def _count_late(stage: Stage, services: list[str]) -> int:
    """Watch for two minutes. Return how many tokens had expired before the next one was issued."""
    start = time.time()
    time.sleep(WATCH_SECONDS)
    late = 0
    for service in services:
        ends = [call["ended_at"] for call in stage.provider.list_calls(service) if call["ended_at"]]
        ends.append(time.time())
        gaps = [after - before for before, after in itertools.pairwise(ends) if after >= start]
        late += sum(gap > LIFETIME for gap in gaps)
    return late
