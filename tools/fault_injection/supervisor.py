"""Threads that disturb an installation: kills of its processes, crashes of its database."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from tools.fault_injection.cluster import Cluster
from tools.fault_injection.installation import Installation


class Supervisor:
    """Kills a random process every few seconds, and starts each process again that has ended.

    `seconds` is the shortest and the longest time between two kills.
    """

    def __init__(self, installation: Installation, seconds: tuple[float, float]) -> None:
        self.kills: Counter[str] = Counter()
        self.killed_at: list[float] = []
        """The time of each kill, in seconds of the system's clock."""
        self.without_worker: list[tuple[float, float]] = []
        """The periods in which no worker ran, in seconds of the system's clock."""
        self._starting: dict[str, int] = {}
        """Workers that start, and how often each had started before."""
        self._without_worker_since = 0.0
        self._installation = installation
        self._seconds = seconds
        self._stopping = threading.Event()
        self._may_kill = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop_killing(self) -> None:
        """From now on, only start processes again."""
        self._may_kill = False

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        next_kill = time.monotonic() + random.uniform(*self._seconds)
        while not self._stopping.wait(0.2):
            if self._may_kill and time.monotonic() >= next_kill:
                name, process = random.choice(list(self._installation.processes.items()))
                if process.is_running():
                    process.kill()
                    self.kills[name.partition("-")[0]] += 1
                    self.killed_at.append(time.time())
                next_kill = time.monotonic() + random.uniform(*self._seconds)
            for name, process in self._installation.processes.items():
                if not process.is_running():
                    if process.port is None:
                        self._starting[name] = process.count_starts()
                    # A server that cannot reach its database ends, so this may take several starts.
                    process.start()
            self._note_workers()

    def _note_workers(self) -> None:
        """Note since when no worker runs, and the period when one runs again."""
        workers = {
            name: one for name, one in self._installation.processes.items() if one.port is None
        }
        for name in [name for name in self._starting if name in workers]:
            if workers[name].count_starts() > self._starting[name]:
                del self._starting[name]
        if len(self._starting) == len(workers):
            self._without_worker_since = self._without_worker_since or time.time()
        elif self._without_worker_since:
            self.without_worker.append((self._without_worker_since, time.time()))
            self._without_worker_since = 0.0


class DatabaseCrashes:
    """Restarts and failovers, evenly spread over the progress of a run.

    After a failover the grants that were due wait for an operator (docs/running.md), who is this class.
    `get_progress` returns a number from 0 to 1.
    """

    def __init__(
        self,
        cluster: Cluster,
        installation: Installation,
        *,
        restarts: int,
        failovers: int,
        get_progress: Callable[[], float],
    ) -> None:
        self.seconds: list[tuple[str, float]] = []
        """Each crash and the time until the database accepted writes again."""
        self.periods: list[tuple[float, float]] = []
        """Their starts and ends, in seconds of the system's clock."""
        self.error: Exception | None = None
        self._cluster = cluster
        self._installation = installation
        self._get_progress = get_progress
        self._plan = _alternate(restarts, failovers)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the crash that is under way. Raises its error."""
        self._stopping.set()
        self._thread.join()
        if self.error:
            raise self.error

    def _run(self) -> None:
        total = len(self._plan)
        for number, crash in enumerate(self._plan, 1):
            while self._get_progress() < number / (total + 1):
                if self._stopping.wait(0.5):
                    return
            try:
                self._crash(crash)
            except Exception as error:
                self.error = error
                return

    def _crash(self, crash: str) -> None:
        start = time.monotonic()
        if crash == "restart":
            self._cluster.restart()
        else:
            self._cluster.fail_over()
        self.seconds.append((crash, time.monotonic() - start))
        self.periods.append((time.time() - self.seconds[-1][1], time.time()))
        if crash == "failover":
            self._cluster.add_standby()
            # Twice, because not every process has recognised the failover at once.
            for seconds in (5, 15):
                self._stopping.wait(seconds)
                self.resume_grants()

    def resume_grants(self) -> None:
        """Let the worker try the grants that wait since a failover."""
        self._installation.run("restored", "--resume")


def _alternate(restarts: int, failovers: int) -> list[str]:
    plan = []
    for number in range(max(restarts, failovers)):
        plan += ["restart"] * (number < restarts) + ["failover"] * (number < failovers)
    return plan
