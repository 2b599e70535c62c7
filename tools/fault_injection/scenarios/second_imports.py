"""One refresh token in a second row: each of two rows would burn the other's grant."""

from __future__ import annotations

import time
from typing import Any, Final

from tools.fault_injection.installation import require
from tools.fault_injection.stage import Check, Stage, check, wait_until

GRANTS: Final = 30
LIFETIME: Final = 20
WATCH_SECONDS: Final = 30.0
SERVICE: Final = "erp"


def prove(stage: Stage) -> list[Check]:
    """Import 30 rotating grants again: the same file, with a new column, for another app and user."""
    stage.provider.add_service(SERVICE, states_grace=0, lifetime=LIFETIME)
    stage.install()
    users = [f"user{number}" for number in range(GRANTS)]
    tokens = stage.provider.change(SERVICE, authorize=users)
    apps = [stage.client.create_app(SERVICE, client_id=f"client-{number}") for number in range(2)]
    lines = [
        {"properties": {"kind": f"{SERVICE}_oauth2", "user_id": user, **each}}
        for user, each in zip(users, tokens, strict=True)
    ]
    first = _import(stage, [{**line, "oauth_app_id": apps[0]} for line in lines])
    stage.installation.start_worker("worker-0")
    wait_until(lambda: stage.provider.count(SERVICE)["granted"] >= 2 * GRANTS, 60)
    checks = [check("twice: first import", first, "created 30")]
    for claim, result, variant in _build_variants(apps):
        report = _import(stage, [{**line, **variant(line)} for line in lines])
        checks.append(check(f"twice: {claim}", report, result))
    time.sleep(WATCH_SECONDS)
    counts = stage.provider.count(SERVICE)
    rows = stage.client.list_credentials()
    alive = sum(_is_alive(stage, row["id"]) for row in rows)
    return [
        *checks,
        check("twice: credentials", len(rows), GRANTS),
        check("twice: tokens that are alive", alive, GRANTS),
        check("twice: replaced tokens used", counts["reused"], 0),
        check("twice: grants revoked", len(counts["revoked"]), 0),
    ]


def _build_variants(apps: list[str]) -> list[tuple[str, str, Any]]:
    """Return a claim, the result and the changed fields of each import that follows the first."""

    def get_user(line: dict[str, Any]) -> str:
        return str(line["properties"]["user_id"])

    return [
        ("the same file", "unchanged 30", lambda line: {"oauth_app_id": apps[0]}),
        (
            "with an external_id",
            "updated 30",
            lambda line: {"oauth_app_id": apps[0], "external_id": get_user(line)},
        ),
        (
            "with another external_id",
            "rejected 30",
            lambda line: {"oauth_app_id": apps[0], "external_id": f"other-{get_user(line)}"},
        ),
        (
            "for another app",
            "rejected 30",
            lambda line: {"oauth_app_id": apps[1]},
        ),
        (
            "for another user",
            "rejected 30",
            lambda line: {
                "oauth_app_id": apps[0],
                "properties": {**line["properties"], "user_id": f"other-{get_user(line)}"},
            },
        ),
    ]


def _import(stage: Stage, lines: list[dict[str, Any]]) -> str:
    """Import the lines. Return the counts of the report that are not 0."""
    response = stage.client.call("POST", "/credentials/import", lines)
    require(response, 200)
    names = ("created", "updated", "unchanged", "rejected")
    return ", ".join(
        f"{name} {response.document[name]}" for name in names if response.document[name]
    )


def _is_alive(stage: Stage, id: str) -> bool:
    token = stage.client.call("POST", f"/credentials/{id}/token")
    return token.status == 200 and stage.provider.is_alive(SERVICE, token.document["access_token"])
