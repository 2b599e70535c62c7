"""A backup of the database is restored after its rotating grants were refreshed."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Final

from tools.fault_injection.cluster import Cluster
from tools.fault_injection.stage import Check, Stage, check, wait_until

GRANTS: Final = 50
LIFETIME: Final = 30
WATCH_SECONDS: Final = 60.0
SERVICE: Final = "bank"


def prove(stage: Stage) -> list[Check]:
    """Restore a backup under 50 grants of a strict provider, wait, then let the operator resume."""
    with Cluster() as cluster:
        stage.cluster = cluster
        stage.provider.add_service(SERVICE, states_grace=0, lifetime=LIFETIME)
        # On its own cluster, which the restore replaces.
        stage.install(copies=False)
        users = [f"user{number}" for number in range(GRANTS)]
        stage.connect(SERVICE, users, owner_email="owner@example.com")
        stage.installation.start_worker("worker-0")
        _wait_for_refreshes(stage, GRANTS)
        # Longer than between two marks of the worker.
        time.sleep(15)
        backup = cluster.copy()
        _wait_for_refreshes(stage, 2 * GRANTS)
        stage.installation.stop()
        cluster.restore(backup)
        stage.installation.start_server("web-0")
        stage.installation.start_worker("worker-0")
        time.sleep(WATCH_SECONDS)
        before = _observe(stage)
        stage.installation.run("restored", "--resume")
        wait_until(lambda: _observe(stage)["states"] == {"needs_reauth": GRANTS}, 60, 2)
        after = _observe(stage)
        stage.installation.stop()
    return [
        check("restored: grants burned before a person decides", before["revoked"], 0),
        check("restored: replaced tokens used before", before["reused"], 0),
        check("restored: states before", before["states"], {"in_doubt": GRANTS}),
        check("restored: health before", before["health"], {"warn": GRANTS}),
        check("restored: notes that name the restore", before["named"], GRANTS),
        check("restored: mails to owners before", before["mails"], 0),
        check("restored: states once the operator resumes", after["states"], {"needs_reauth": 50}),
        check("restored: reasons then", after["errors"], {"database_restored": GRANTS}),
        check("restored: health then", after["health"], {"error": GRANTS}),
    ]


def _wait_for_refreshes(stage: Stage, more: int) -> None:
    target = stage.provider.count(SERVICE)["granted"] + more
    if not wait_until(lambda: stage.provider.count(SERVICE)["granted"] >= target, 120):
        raise RuntimeError("The worker does not refresh.")


def _observe(stage: Stage) -> dict[str, Any]:
    rows = stage.client.list_credentials()
    counts = stage.provider.count(SERVICE)
    notes = [" ".join(row["health"]["notes"]) for row in rows]
    return {
        "revoked": len(counts["revoked"]),
        "reused": counts["reused"],
        "states": dict(Counter(row["refresh"]["state"] for row in rows)),
        "errors": dict(Counter(row["refresh"]["error"] for row in rows)),
        "health": dict(Counter(row["health"]["status"] for row in rows)),
        "named": sum("restore" in note.lower() for note in notes),
        "mails": len(stage.mail.messages),
    }
