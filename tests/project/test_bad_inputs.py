"""What hostile and careless callers send: each gets its own code, in the API's shape, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api import ApiClient
from tests.project.builders import BODIES, QUERIES
from tests.project.world import World, snapshot_database

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data/bad_inputs.jsonl").read_text().splitlines()
]
PROBLEM = {"type", "title", "status", "detail", "summary", "request_id"}


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_bad_input(db, row):
    world = World()
    request = _request(world, row)
    before = snapshot_database()
    answer = ApiClient(world.token).send(**request)
    seen = f"{row['why']}: {answer.status_code} {answer.content[:300]!r}"
    assert answer.status_code == row["code"], seen
    find_shape_error(request["path"], answer)
    assert b"hush" not in answer.content, seen
    assert world.token.encode() not in answer.content, seen
    for name in row.get("has", ()):
        assert name in answer.headers, seen
    if row["code"] >= 400 or row.get("same"):
        assert snapshot_database() == before, f"{row['why']}: something was stored"
    for path, value in row.get("shows", {}).items():
        assert _at(answer.json(), path) == value
    if "says" in row:
        assert row["says"] in answer.content.decode().lower(), seen


def find_shape_error(path: str, answer: Any) -> None:
    """The answer is in the shape of its API: JSON always, and for refusals the API's own."""
    document = answer.json()
    assert answer["X-Request-Id"]
    assert answer["Cache-Control"] == "no-store"
    if answer.status_code < 400:
        assert answer["Content-Type"] == "application/json"
    elif path.startswith("/api"):
        assert answer["Content-Type"] == "application/json"
        assert set(document) <= {"error", "retry_after_seconds"}
        assert document["error"]
        assert isinstance(document["error"], str)
    else:
        assert answer["Content-Type"] == "application/problem+json"
        assert set(document) >= PROBLEM
        assert document["status"] == answer.status_code
        assert document["summary"] == document["detail"] != ""
        assert document["request_id"] == answer["X-Request-Id"]
    if answer.status_code == 401:
        assert answer["WWW-Authenticate"].startswith("Bearer")
    if answer.status_code == 422 and path.startswith("/v1"):
        _check_reasons(document["validation_errors"])


def _check_reasons(errors: Any) -> None:
    assert isinstance(errors, dict)
    for field, reasons in errors.items():
        assert field
        assert reasons
        assert all(isinstance(reason, str) for reason in reasons)


def _request(world: World, row: dict[str, Any]) -> dict[str, Any]:
    method, path = world.substitute(row["call"]).split(" ", 1)
    if "build_query" in row:
        path += "?" + QUERIES[row["build_query"]]()
    if "build" in row:
        body = BODIES[row["build"]]()
    else:
        body = world.substitute(row.get("body", "")).encode("utf-8", "surrogatepass")
    headers = {name: world.substitute(value) for name, value in row.get("headers", {}).items()}
    if "body" in row and not body:
        # A client that sends nothing still says so; Django's would leave both headers out.
        headers = {"Content-Type": "application/json", "Content-Length": "0", **headers}
    if row.get("no_length"):
        headers["Content-Length"] = ""
    kind = row.get("type", "application/json")
    world.token  # noqa: B018 - made now, so that it is not taken for something stored
    return {
        "method": method,
        "path": path,
        "body": body,
        "content_type": kind,
        "headers": {"Content-Type": kind, **headers} if "type" in row else headers,
    }


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[part]
    return document
