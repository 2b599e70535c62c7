"""A body that is rejected alone is rejected as a line of an import, too, and no other line is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from credentials.models import Credential
from tests.api import ApiClient
from tests.factories import make_stripe_body
from tests.project.cases import collect_failures
from tests.project.test_bad_inputs import ROWS
from tests.project.world import World

pytestmark = pytest.mark.slow

IMPORT = "/v1/credentials/import"
NDJSON = "application/x-ndjson"
PLAIN = {"id", "call", "code", "why", "body"}
BODIES = [
    row
    for row in ROWS
    if row["call"] == "POST /v1/credentials"
    and row["code"] in {400, 413, 422}
    and set(row) == PLAIN
    and row["body"].strip()
    and "\n" not in row["body"]
]
WELL_FORMED = [row for row in BODIES if row["code"] != 400]
CHUNK = 60


@pytest.fixture
def world(db: None) -> World:
    """A world with all the rows that a body may name."""
    world = World()
    for row in BODIES:
        world.substitute(row["body"])
    Credential.objects.all().delete()
    world.token  # noqa: B018 - created before the first case
    return world


def import_body(world: World, body: bytes, kind: str, query: str = "") -> Any:
    return ApiClient(world.token).post(IMPORT + query, body, content_type=kind)


def build_ndjson(world: World, row: dict[str, Any]) -> bytes:
    valid = [json.dumps(make_stripe_body()).encode() for _ in range(2)]
    return b"\n".join([valid[0], world.substitute(row["body"]).encode(), valid[1]])


def build_array(world: World, row: dict[str, Any]) -> bytes:
    valid = [json.dumps(make_stripe_body()) for _ in range(2)]
    return f"[{valid[0]},{world.substitute(row['body'])},{valid[1]}]".encode()


def check_report(response: Any) -> None:
    """Assert that the second of three lines was rejected."""
    assert response.status_code == 200, response.content[:300]
    report = response.json()
    assert (report["created"], report["rejected"]) == (2, 1)
    (error,) = report["errors"]
    assert error["line"] == 2
    assert error["reason"]
    assert b"hush" not in response.content
    assert Credential.objects.count() == 2


@pytest.mark.parametrize("start", range(0, len(BODIES), CHUNK))
def test_an_invalid_line_is_rejected_alone(world, start):
    with collect_failures() as case:
        for row in BODIES[start : start + CHUNK]:
            with case(f"{row['id']} ({row['why']})"):
                check_report(import_body(world, build_ndjson(world, row), NDJSON))


@pytest.mark.parametrize("start", range(0, len(WELL_FORMED), CHUNK))
def test_an_invalid_element_is_rejected_alone(world, start):
    with collect_failures() as case:
        for row in WELL_FORMED[start : start + CHUNK]:
            with case(f"{row['id']} ({row['why']})"):
                check_report(import_body(world, build_array(world, row), "application/json"))


def test_an_atomic_import_stores_nothing_if_a_line_is_invalid(world):
    with collect_failures() as case:
        for row in WELL_FORMED[::10]:
            with case(row["id"]):
                response = import_body(world, build_ndjson(world, row), NDJSON, "?atomic=true")
                assert response.status_code == 422, response.content
                assert response.json()["rejected"] == 1
                assert not Credential.objects.exists()


def test_a_deeply_nested_element_is_no_server_error(world):
    with collect_failures() as case:
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            for depth in (9, 200, 300, 900, 5000, 100_000):
                nested = opening * depth + "1" + closing * depth
                body = (
                    '[{"properties":{"kind":"stripe_key","secret":"hush"},'
                    f'"metadata":{{"a":{nested}}}}}]'
                )
                with case(f"{opening} {depth}"):
                    response = import_body(world, body.encode(), "application/json")
                    assert response.status_code in {200, 400, 413}, response.content
                    assert not Credential.objects.exists()


@pytest.mark.parametrize("kind", ["application/json", NDJSON])
def test_an_element_that_is_not_an_object_is_rejected(world, kind):
    with collect_failures() as case:
        for element in ("null", "7", '"x"', "[]", "[{}]", "true", "1e400", "9" * 30):
            body = f"[{element}]" if kind == "application/json" else element
            with case(element):
                response = import_body(world, body.encode(), kind)
                assert response.status_code == 200, response.content
                assert response.json()["rejected"] == 1


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\r\n", b" \t"])
def test_an_import_without_a_line_is_400(world, body):
    headers = {"Content-Type": NDJSON, "Content-Length": str(len(body))}
    response = ApiClient(world.token).post(IMPORT, body, headers=headers)
    assert response.status_code == 400, response.content


@pytest.mark.parametrize("line", [b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\xed\xa0\x80", b"\x00"])
def test_a_line_that_is_not_utf_8_json_is_rejected(world, line):
    valid = json.dumps(make_stripe_body()).encode()
    response = import_body(world, valid + b"\n" + line + b"\n", NDJSON)
    assert response.status_code == 200, response.content
    assert (response.json()["created"], response.json()["rejected"]) == (1, 1)


@pytest.mark.parametrize("kind", ["application/json", NDJSON])
def test_a_line_of_more_than_64_kib_stores_nothing(world, kind):
    valid, long = json.dumps(make_stripe_body()), json.dumps(make_stripe_body("hush" * 20_000))
    body = f"[{valid},{long}]" if kind == "application/json" else f"{valid}\n{long}\n"
    response = import_body(world, body.encode(), kind)
    assert response.status_code == 413, response.content
    assert not Credential.objects.exists()


def test_an_import_may_be_larger_than_one_body(world):
    lines = [json.dumps(make_stripe_body(metadata={"a": "x" * 1000})) for _ in range(300)]
    response = import_body(world, "\n".join(lines).encode(), NDJSON)
    assert response.status_code == 200, response.content
    assert response.json()["created"] == 300


def test_an_import_of_more_than_ten_mebibytes_stores_nothing(world):
    line = json.dumps(make_stripe_body()).encode() + b"\n"
    response = import_body(world, line + b" " * (10 * 1024 * 1024), NDJSON)
    assert response.status_code == 413
    assert not Credential.objects.exists()


def test_there_are_bodies_to_try():
    assert len(WELL_FORMED) > 100
