"""The wait of one customer while another fills the worker: the fair schedulers, and a queue with a cap.

    .venv/bin/python -m bench.schedulers

A simulation with 16 threads, in simulated seconds. "Queue" serves the key that was served longest
ago first, with no more at once than the same cap per key. docs/architecture.md has the figures.
"""

from __future__ import annotations

import heapq
import os
import timeit
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

THREADS: Final = 16
TIMEOUT: Final = 15.0
"""Seconds that a receiver uses which accepts the connection and says nothing."""


class Job(NamedTuple):
    due: float
    key: str
    seconds: float


class State:
    """The jobs that run, the last time of each key, and the keys whose jobs have timed out."""

    def __init__(self) -> None:
        self.running = Counter[str]()
        self.served: dict[str, float] = {}
        self.failing: set[str] = set()


Choose = Callable[[list[Job], State], Job | None]
"""Return the next of the due jobs."""


def simulate(jobs: list[Job], choose: Choose, watched: str) -> float:
    """Return the longest wait of a job of the key `watched`."""
    pending, state = sorted(jobs), State()
    ends: list[tuple[float, str]] = []
    now, longest = 0.0, 0.0
    while any(job.key == watched for job in pending):
        due = [job for job in pending if job.due <= now]
        while state.running.total() < THREADS and (job := choose(due, state)):
            due.remove(job)
            pending.remove(job)
            state.running[job.key] += 1
            state.served[job.key] = now
            heapq.heappush(ends, (now + job.seconds, job.key))
            if job.key == watched:
                longest = max(longest, now - job.due)
        later = [job.due for job in pending if job.due > now]
        now = min([*later, *(end for end, _ in ends[:1])])
        while ends and ends[0][0] <= now:
            key = heapq.heappop(ends)[1]
            state.running[key] -= 1
            if key.startswith("hangs"):
                state.failing.add(key)
    return longest


def queue_with_cap(cap: int) -> Choose:
    def choose(due: list[Job], state: State) -> Job | None:
        free = [job for job in due if state.running[job.key] < cap]
        return min(free, key=lambda job: (state.served.get(job.key, -1.0), job.due), default=None)

    return choose


def share_with_half(due: list[Job], state: State) -> Job | None:
    """Choose as webhooks.fair_scheduling does: one slot per failing endpoint, half for all of them."""
    used = sum(state.running[key] for key in state.failing)

    def is_free(job: Job) -> bool:
        if job.key in state.failing:
            return state.running[job.key] < 1 and used < THREADS // 2
        return state.running[job.key] < THREADS // 2

    def rank(job: Job) -> tuple[bool, float, float]:
        return job.key in state.failing, state.served.get(job.key, -1.0), job.due

    return min(filter(is_free, due), key=rank, default=None)


def least_running(due: list[Job], state: State) -> Job | None:
    """Choose as credentials.refresh.tasks does: the account with the fewest running calls."""
    return min(due, key=lambda job: (state.running[job.key], job.due), default=None)


def measure_webhooks() -> None:
    print(
        "\nA delivery every second to an endpoint that works, and endpoints that hang: longest wait"
    )
    for hanging in (1, 2, 4, 16):
        jobs = [Job(0.0, f"hangs-{n}", TIMEOUT) for n in range(hanging) for _ in range(40)]
        jobs += [Job(1.0 + second, "works", 0.05) for second in range(30)]
        waits = [simulate(jobs, choose, "works") for choose in (queue_with_cap(8), share_with_half)]
        print(f"{hanging:>3} hang: queue {waits[0]:5.1f} s, fair {waits[1]:5.1f} s")


def measure_refreshes() -> None:
    print("\nA grant every 3 s of a small account, 2,000 of a large one due at once: longest wait")
    jobs = [Job(n / 10_000, "large", 0.3) for n in range(2000)]
    jobs += [Job(1.0 + 3 * n, "small", 0.3) for n in range(8)]

    def oldest_first(due: list[Job], *_: object) -> Job | None:
        return min(due, default=None)

    for name, choose in (("oldest first", oldest_first), ("fair", least_running)):
        print(f"{name:>12}: {simulate(jobs, choose, 'small'):5.1f} s")


def measure_cost() -> None:
    from credentials.refresh.tasks import RefreshTask, _App

    print("\nThe refresh scheduler's own time for 16 slots")
    for count in (10, 100, 1000):
        apps = [_App(uuid.uuid4(), uuid.uuid4(), "linear") for _ in range(count)]
        task = RefreshTask()
        seconds = min(timeit.repeat(lambda: task._share_slots(apps, THREADS), number=3, repeat=5))  # noqa: B023
        print(f"{count:>5} apps with due grants: {seconds / 3 * 1000:6.2f} ms")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.django_settings")
    measure_webhooks()
    measure_refreshes()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    measure_cost()
