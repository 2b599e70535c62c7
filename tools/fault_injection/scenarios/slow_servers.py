"""Token servers that are slower than their callers are patient, strict ones and with a grace."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import Any, Final

from tools.fault_injection.callers import Callers
from tools.fault_injection.stage import Check, Stage, check, check_range, wait_until

DELAYS: Final = (14, 25, 70)
CALLERS: Final = 20
PAUSE: Final = 4.0
"""Seconds between the calls of one caller, on average."""

SERVERS: Final = 3
GRACE: Final = 30
EXPIRIES: Final = 2
WATCH_SECONDS: Final = 20.0
"""The time after the last response in which another request would be noticed."""


def prove(stage: Stage) -> list[Check]:
    """Read one token of each server with 20 callers in 3 processes, while a worker runs."""
    services = {
        f"{name}{delay}": (delay, grace)
        for delay in DELAYS
        for name, grace in (("strict", 0), ("graceful", GRACE))
    }
    for service, (delay, grace) in services.items():
        stage.provider.add_service(
            service, states_grace=grace, grace=grace, delay=delay, lifetime=2 * delay + 20
        )
    stage.install(SERVERS)
    for service in services:
        stage.connect(service, ["ann"])
    stage.installation.start_worker("worker-0")
    callers = {service: _start_callers(stage, service) for service in services}
    for service in services:
        # The token of the second response lasts, so that there are as many expiries as intended.
        wait_until(lambda name=service: _count_responses(stage, name) >= 1, 120)  # type: ignore[misc]
        stage.provider.change(service, lifetime=3600)
    for service in services:
        wait_until(lambda name=service: _count_responses(stage, name) >= EXPIRIES, 240)  # type: ignore[misc]
    time.sleep(WATCH_SECONDS)
    for one in callers.values():
        one.stop()
    return [each for service in services for each in _check(stage, service, callers[service])]


def _start_callers(stage: Stage, service: str) -> Callers:
    credentials = stage.client.list_credentials(provider=service)
    callers = Callers(
        stage.client,
        credentials,
        count=CALLERS,
        pause=PAUSE,
        is_alive=lambda _, token: stage.provider.is_alive(service, token),
        refresh_share=0,
    )
    callers.start()
    return callers


def _count_responses(stage: Stage, service: str) -> int:
    return sum(bool(call["ended_at"]) for call in stage.provider.list_calls(service))


def _check(stage: Stage, service: str, callers: Callers) -> list[Check]:
    calls = stage.provider.list_calls(service)
    uses = Counter(call["token"] for call in calls)
    credential = stage.get_credential(service, "ann")
    token = stage.client.call("POST", f"/credentials/{credential['id']}/token")
    allowed = {"token 200", "token 503 refresh_in_progress"}
    return [
        check(f"{service}: requests for {EXPIRIES} expiries", len(calls), EXPIRIES),
        check(f"{service}: most requests with one token", max(uses.values(), default=0), 1),
        check(f"{service}: responses stored", _count_stored(calls, token.document), EXPIRIES),
        check(f"{service}: grants revoked", len(stage.provider.count(service)["revoked"]), 0),
        check(f"{service}: tokens of /token that were dead", callers.rejected, 0),
        check(f"{service}: tokens of /token that had expired", callers.expired, 0),
        check(f"{service}: other responses", sorted(set(callers.results) - allowed), []),
        check_range(f"{service}: seconds of the longest call", callers.longest, 0, 16),
    ]


def _count_stored(calls: list[dict[str, Any]], document: Any) -> int:
    """Return how many of the responses were used by the next request, or by the last caller."""
    used = sum(
        after["token"] == before["refresh_token"] for before, after in itertools.pairwise(calls)
    )
    is_last_used = bool(calls) and document.get("access_token") == calls[-1]["access_token"]
    return int(used + is_last_used)
