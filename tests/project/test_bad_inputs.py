"""Hostile and careless requests: each gets its documented status, in the API's shape."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api import ApiClient
from tests.project.builders import BODIES, QUERIES
from tests.project.cases import collect_failures
from tests.project.world import World, snapshot_database

pytestmark = pytest.mark.slow

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data/bad_inputs.jsonl").read_text().splitlines()
]
PROBLEM = {"type", "title", "status", "detail", "summary", "request_id"}
CHUNK = 60


def get_group(row: dict[str, Any]) -> str:
    """Return the method and the collection of a row's call."""
    method, _, path = row["call"].partition(" ")
    return f"{method} {'/'.join(path.partition('?')[0].split('/')[:3])}"


GROUPS = {
    f"{group} {number}": rows[number : number + CHUNK]
    for group, members in itertools.groupby(sorted(ROWS, key=get_group), key=get_group)
    for rows in [list(members)]
    for number in range(0, len(rows), CHUNK)
}


@pytest.mark.parametrize("group", GROUPS)
def test_bad_inputs_are_rejected(db, group):
    world = World()
    # Before the first case: what a request names must survive the rollback of a case.
    requests = [build_request(world, row) for row in GROUPS[group]]
    with collect_failures() as case:
        for row, request in zip(GROUPS[group], requests, strict=True):
            with case(f"{row['id']} ({row['why']})"):
                check_row(world, row, request)


def check_row(world: World, row: dict[str, Any], request: dict[str, Any]) -> None:
    before = snapshot_database()
    response = ApiClient(world.token).send(**request)
    summary = f"{response.status_code} {response.content[:300]!r}"
    assert response.status_code == row["code"], summary
    check_shape(request["path"], response)
    assert b"hush" not in response.content, summary
    assert world.token.encode() not in response.content, summary
    for name in row.get("has", ()):
        assert name in response.headers, summary
    if row["code"] >= 400 or row.get("same"):
        assert snapshot_database() == before, "something was stored"
    for path, value in row.get("shows", {}).items():
        assert get_value(response.json(), path) == value, summary
    if "says" in row:
        assert row["says"] in response.content.decode().lower(), summary


def check_shape(path: str, response: Any) -> None:
    """Assert that the response is JSON, and an error in the shape of the path's API."""
    document = response.json()
    assert response["X-Request-Id"]
    assert response["Cache-Control"] == "no-store"
    if response.status_code < 400:
        assert response["Content-Type"] == "application/json"
    elif path.startswith("/api"):
        assert response["Content-Type"] == "application/json"
        assert set(document) <= {"error", "retry_after_seconds"}
        assert document["error"]
        assert isinstance(document["error"], str)
    else:
        assert response["Content-Type"] == "application/problem+json"
        assert set(document) >= PROBLEM
        assert document["status"] == response.status_code
        assert document["summary"] == document["detail"] != ""
        assert document["request_id"] == response["X-Request-Id"]
    if response.status_code == 401:
        assert response["WWW-Authenticate"].startswith("Bearer")
    if response.status_code == 422 and path.startswith("/v1"):
        errors = document["validation_errors"]
        assert isinstance(errors, dict)
        for field, reasons in errors.items():
            assert field
            assert reasons
            assert all(isinstance(reason, str) for reason in reasons)


def build_request(world: World, row: dict[str, Any]) -> dict[str, Any]:
    method, path = world.substitute(row["call"]).split(" ", 1)
    if "build_query" in row:
        path += "?" + QUERIES[row["build_query"]]()
    if "build" in row:
        body = BODIES[row["build"]]()
    else:
        body = world.substitute(row.get("body", "")).encode("utf-8", "surrogatepass")
    headers = {name: world.substitute(value) for name, value in row.get("headers", {}).items()}
    if "body" in row and not body:
        # A real client sends these headers for an empty body; Django's test client does not.
        headers = {"Content-Type": "application/json", "Content-Length": "0", **headers}
    if row.get("no_length"):
        headers["Content-Length"] = ""
    kind = row.get("type", "application/json")
    world.token  # noqa: B018 - created now, so that no case creates it
    return {
        "method": method,
        "path": path,
        "body": body,
        "content_type": kind,
        "headers": {"Content-Type": kind, **headers} if "type" in row else headers,
    }


def get_value(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[part]
    return document
