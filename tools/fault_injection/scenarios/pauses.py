"""Lost responses of a provider with a grace, and the pauses that could outlast it."""

from __future__ import annotations

import time
from typing import Final

from tools.fault_injection.stage import Check, Stage, check, wait_until

GRACE: Final = 30
OUTAGE_SECONDS: Final = 20.0
WATCH_SECONDS: Final = 60.0

# The number of grants, and of these how many responses are lost.
PAUSES: Final = {"circuit": (40, 11), "retry_after": (3, 3), "backoff": (4, 4)}


def prove(stage: Stage) -> list[Check]:
    """Lose responses while an open circuit, Retry-After or the backoff would delay the next request."""
    for service, (_, lost) in PAUSES.items():
        fault = "503_after" if service == "retry_after" else "500_after"
        stage.provider.add_service(
            service, states_grace=GRACE, grace=GRACE, script=[fault] * lost, retry_after=45
        )
    stage.install()
    for service, (grants, _) in PAUSES.items():
        stage.connect(service, [f"user{number}" for number in range(grants)])
    stage.installation.start_worker("worker-0")
    lost_by_backoff = PAUSES["backoff"][1]
    wait_until(lambda: stage.provider.count("backoff")["calls"] >= lost_by_backoff, 30, 0.05)
    stage.provider.change("backoff", faults={"500_before": 1.0})
    time.sleep(OUTAGE_SECONDS)
    stage.provider.change("backoff", faults={})
    time.sleep(WATCH_SECONDS)
    return [each for service in PAUSES for each in _check(stage, service)]


def _check(stage: Stage, service: str) -> list[Check]:
    grants, lost = PAUSES[service]
    calls = stage.provider.list_calls(service)
    rows = stage.client.list_credentials(provider=service)
    fresh = sum(row["refresh"]["state"] == "fresh" for row in rows)
    revoked = stage.provider.count(service)["revoked"]
    return [
        check(f"{service}: responses lost", sum(call["is_lost"] for call in calls), lost),
        check(f"{service}: of these grants dead", len(revoked), 0),
        check(f"{service}: fresh grants", fresh, grants),
    ]
