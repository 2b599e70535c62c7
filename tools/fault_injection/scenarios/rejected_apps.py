"""A client secret that has expired, and a dead grant whose error blames its OAuth app."""

from __future__ import annotations

import time
from typing import Any, Final

from tools.fault_injection.stage import Check, Stage, check, check_range, wait_until

LIFETIME: Final = 60
CREDENTIALS: Final = 50
MINUTES: Final = 5

# https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
EXPIRED_SECRET: Final = {
    "error": "invalid_client",
    "error_description": "AADSTS7000222: The provided client secret keys for app are expired.",
}

HEALTHY: Final = 30
PAUSES: Final = 6
DEAD: Final[dict[str, tuple[int, Any]]] = {
    # https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/
    "known_words": (
        403,
        {"error": "unauthorized_client", "error_description": "refresh_token is invalid"},
    ),
    "unknown_words": (403, {"error": "unauthorized_client"}),
}


def prove_secret(stage: Stage) -> list[Check]:
    """Let the client secret of 50 credentials expire for five minutes, then correct it."""
    stage.provider.add_service("office", lifetime=LIFETIME)
    stage.install()
    users = [f"user{number}" for number in range(CREDENTIALS)]
    app_id = stage.connect("office", users, owner_email="owner@example.com")
    stage.installation.start_worker("worker-0")
    wait_until(lambda: stage.provider.count("office")["granted"] >= CREDENTIALS, 60)
    stage.provider.change("office", rejection=(401, EXPIRED_SECRET))
    start = time.monotonic()
    wait_until(lambda: _get_app_status(stage, app_id) == "error", MINUTES * 60)
    seconds = time.monotonic() - start
    time.sleep(max(MINUTES * 60 - seconds, 0))
    status = _get_app_status(stage, app_id)
    rows = stage.client.list_credentials()
    errors = sum(row["health"]["status"] == "error" for row in rows)
    stage.provider.change("office", rejection=None)
    stage.client.call("PATCH", f"/oauth-apps/{app_id}", {"client_secret": "another-secret"})
    before = stage.provider.count("office")["granted"]
    wait_until(lambda: stage.provider.count("office")["granted"] >= before + CREDENTIALS, 120)
    time.sleep(2)
    fresh = [row["refresh"]["state"] for row in stage.client.list_credentials()]
    return [
        check_range("secret: seconds until the app's health is error", seconds, 0, MINUTES * 60),
        check("secret: the app's health after five minutes", status, "error"),
        check("secret: credentials in error", errors, 0),
        check("secret: mails to owners", len(stage.mail.messages), 0),
        check("secret: fresh again once it is corrected", fresh.count("fresh"), CREDENTIALS),
        check("secret: the app's health then", _get_app_status(stage, app_id), "ok"),
    ]


def prove_dead_grant(stage: Stage) -> list[Check]:
    """Refresh 30 healthy grants and a dead one of the same app for six minutes."""
    for service, rejection in DEAD.items():
        stage.provider.add_service(service, lifetime=LIFETIME)
        stage.provider.change(service, rejected={"dead": rejection})
    stage.install()
    apps = {
        service: stage.connect(service, ["dead", *(f"user{n}" for n in range(HEALTHY))])
        for service in DEAD
    }
    stage.installation.start_worker("worker-0")
    checks = []
    start = time.time()
    time.sleep(PAUSES * 60)
    for service in DEAD:
        calls = stage.provider.list_calls(service)
        counts = [
            len({call["grant"] for call in calls if _is_refresh(call, start + 60 * minute)})
            for minute in range(PAUSES)
        ]
        row = stage.get_credential(service, "dead")
        status = _get_app_status(stage, apps[service])
        checks += [
            check(
                f"{service}: healthy grants refreshed in each minute", counts, [HEALTHY] * PAUSES
            ),
            check(f"{service}: the app's health", status, "ok"),
            check(f"{service}: the dead one has an error", bool(row["refresh"]["error"]), True),
            check(f"{service}: the dead one has a note", bool(row["health"]["notes"]), True),
        ]
    return checks


def _is_refresh(call: dict[str, Any], start: float) -> bool:
    return call["outcome"] == "granted" and 0 <= float(call["started_at"]) - start < 60


def _get_app_status(stage: Stage, app_id: str) -> str:
    document = stage.client.call("GET", f"/oauth-apps/{app_id}").document
    return str(document["health"]["status"])
