"""SIGKILL of the process that waits for a token response."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from typing import Any, Final, NamedTuple

from tools.fault_injection.installation import Process, send
from tools.fault_injection.stage import Check, Stage, check, check_range, wait_until

WATCH_SECONDS: Final = 15.0
"""The time after the retry in which another request would be noticed."""


class Variant(NamedTuple):
    """A provider, when its client is killed, and when the retry must come, all in seconds."""

    service: str
    states_grace: int | None
    grace: int
    delay: float
    kill_after: float
    retry: tuple[float, float]
    """After the first request."""


SHORT_GRACE: Final = 30

VARIANTS: Final = (
    Variant("graceful", SHORT_GRACE, 30, 6, 2, (8, 30)),
    Variant("graceful_late", SHORT_GRACE, 30, 20, 13, (8, 30)),
    Variant("long_grace", 600, 600, 6, 2, (15, 600)),
    Variant("strict", 0, 0, 6, 2, (90, 110)),
    Variant("strict_late", 0, 0, 70, 50, (90, 110)),
    Variant("unstated_fast", None, 0, 6, 2, (20, 40)),
)


def prove(stage: Stage) -> list[Check]:
    """Kill the holder of a refresh for each variant, and watch what becomes of the grant."""
    for variant in VARIANTS:
        stage.provider.add_service(
            variant.service, states_grace=variant.states_grace, grace=variant.grace
        )
    # One server is killed for each variant, and one stays.
    stage.install(len(VARIANTS) + 1)
    runs = [
        _Run(stage, variant, stage.installation.processes[f"web-{number}"])
        for number, variant in enumerate(VARIANTS)
    ]
    threads = [threading.Thread(target=run.run) for run in runs]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(run.is_killed for run in runs if run.variant.kill_after < 10), 60)
    # Only now, because the holders must be web processes.
    stage.installation.start_worker("worker-0")
    for thread in threads:
        thread.join()
    return [each for run in runs for each in run.build_checks()]


class _Run:
    def __init__(self, stage: Stage, variant: Variant, holder: Process) -> None:
        self.variant = variant
        self.is_killed = False
        self._stage = stage
        self._holder = holder
        self._states: list[str] = []
        self._notes: list[str] = []
        stage.connect(variant.service, ["ann"])
        self._id = self._read()["id"]

    def run(self) -> None:
        """Refresh once, kill the holder of the second refresh, and wait for the retry."""
        provider, service = self._stage.provider, self.variant.service
        # The first response is fast, and so is this provider as far as its client knows.
        self._refresh()
        provider.change(service, delay=self.variant.delay)
        threading.Thread(target=self._refresh, daemon=True).start()
        wait_until(lambda: provider.count(service)["running"] == 1, 20, 0.05)
        time.sleep(self.variant.kill_after)
        self._holder.kill()
        self.is_killed = True
        provider.change(service, delay=0)
        wait_until(lambda: self._observe() and len(provider.list_calls(service)) > 2, 150)
        time.sleep(WATCH_SECONDS)

    def build_checks(self) -> list[Check]:
        """Return what is promised for this provider, and what happened."""
        provider, service, grace = self._stage.provider, self.variant.service, self.variant.grace
        calls = provider.list_calls(service)
        retry = calls[2]["started_at"] - calls[1]["started_at"] if len(calls) > 2 else None
        row = self._read()
        token = self._stage.client.call("POST", f"/credentials/{self._id}/token")
        alive = token.status == 200 and provider.is_alive(service, token.document["access_token"])
        state = row["refresh"]["state"], row["refresh"]["error"], row["health"]["status"]
        lost = ("needs_reauth", "rotation_response_lost", "error")
        return [
            *self._build_doubt_checks(),
            check_range(f"{service}: seconds until the retry", retry, *self.variant.retry),
            check(f"{service}: requests, the lost one and one retry", len(calls) - 1, 2),
            check(f"{service}: the token is alive", alive, bool(grace)),
            check(f"{service}: the end", state, ("fresh", None, "ok") if grace else lost),
        ]

    def _build_doubt_checks(self) -> list[Check]:
        if self.variant.states_grace == SHORT_GRACE:
            return []  # It is in doubt for about a second only.
        service = self.variant.service
        return [
            check(f"{service}: in_doubt before the retry", "in_doubt" in self._states, True),
            check(f"{service}: a health note says so", bool(self._notes), True),
        ]

    def _observe(self) -> bool:
        row = self._read()
        self._states.append(row["refresh"]["state"])
        if row["refresh"]["state"] == "in_doubt":
            self._notes += row["health"]["notes"]
        return True

    def _read(self) -> dict[str, Any]:
        return self._stage.get_credential(self.variant.service, "ann")

    def _refresh(self) -> None:
        path = f"/v1/credentials/{self._id}/refresh"
        with contextlib.suppress(OSError, http.client.HTTPException):
            send(self._holder.port or 0, "POST", path, token=self._stage.client.token, timeout=120)
