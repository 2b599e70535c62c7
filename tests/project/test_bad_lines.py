"""What is refused as one body is refused as a line of an import too, and takes no other line with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from credentials.models import Credential
from tests.api import ApiClient
from tests.factories import make_stripe_body
from tests.project.test_bad_inputs import ROWS
from tests.project.world import World

IMPORT = "/v1/credentials/import"
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


def named(rows: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row["id"] for row in rows])


def imported(world: World, body: bytes, kind: str, query: str = "") -> Any:
    return ApiClient(world.token).post(IMPORT + query, body, content_type=kind)


def ndjson(world: World, row: dict[str, Any]) -> bytes:
    good = [json.dumps(make_stripe_body()).encode() for _ in range(2)]
    return b"\n".join([good[0], world.substitute(row["body"]).encode(), good[1]])


def array(world: World, row: dict[str, Any]) -> bytes:
    good = [json.dumps(make_stripe_body()) for _ in range(2)]
    return f"[{good[0]},{world.substitute(row['body'])},{good[1]}]".encode()


def check_report(answer: Any, why: str) -> None:
    assert answer.status_code == 200, f"{why}: {answer.content[:300]!r}"
    report = answer.json()
    assert (report["created"], report["rejected"]) == (2, 1), why
    (fault,) = report["errors"]
    assert fault["line"] == 2
    assert fault["reason"]
    assert b"hush" not in answer.content


@named(BODIES)
def test_a_bad_line_is_rejected_alone(db, row):
    world = World()
    check_report(imported(world, ndjson(world, row), "application/x-ndjson"), row["why"])
    assert Credential.objects.count() == 2


@named(WELL_FORMED)
def test_a_bad_element_is_rejected_alone(db, row):
    world = World()
    check_report(imported(world, array(world, row), "application/json"), row["why"])
    assert Credential.objects.count() == 2


@named(WELL_FORMED[::10])
def test_all_or_none_stores_none_beside_a_bad_line(db, row):
    world = World()
    answer = imported(world, ndjson(world, row), "application/x-ndjson", "?atomic=true")
    assert answer.status_code == 422, answer.content
    assert answer.json()["rejected"] == 1
    assert not Credential.objects.exists()


@pytest.mark.parametrize("depth", [9, 200, 300, 900, 5000, 100_000])
@pytest.mark.parametrize("bracket", ["[]", '{"a":}'])
def test_an_element_nested_deeply_is_no_server_error(db, depth, bracket):
    opening, closing = bracket[:-1], bracket[-1]
    deep = opening * depth + "1" + closing * depth
    body = f'[{{"properties":{{"kind":"stripe_key","secret":"hush"}},"metadata":{{"a":{deep}}}}}]'
    answer = imported(World(), body.encode(), "application/json")
    assert answer.status_code in {200, 400, 413}, answer.content
    assert not Credential.objects.exists()


@pytest.mark.parametrize("element", ["null", "7", '"x"', "[]", "[{}]", "true", "1e400", "9" * 30])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_an_element_that_is_no_object_is_rejected(db, element, kind):
    body = f"[{element}]" if kind == "application/json" else element
    answer = imported(World(), body.encode(), kind)
    assert answer.status_code == 200, answer.content
    assert answer.json()["rejected"] == 1


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\r\n", b" \t"])
def test_an_import_without_a_line_is_400(db, body):
    world = World()
    headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(len(body))}
    answer = ApiClient(world.token).post(IMPORT, body, headers=headers)
    assert answer.status_code == 400, answer.content


@pytest.mark.parametrize("bytes_", [b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\xed\xa0\x80", b"\x00"])
def test_a_line_that_is_no_utf_8_json_is_rejected(db, bytes_):
    good = json.dumps(make_stripe_body()).encode()
    answer = imported(World(), good + b"\n" + bytes_ + b"\n", "application/x-ndjson")
    assert answer.status_code == 200, answer.content
    assert (answer.json()["created"], answer.json()["rejected"]) == (1, 1)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_line_of_more_than_64_kib_stores_nothing_at_all(db, kind):
    good, long = json.dumps(make_stripe_body()), json.dumps(make_stripe_body("hush" * 20_000))
    body = f"[{good},{long}]" if kind == "application/json" else f"{good}\n{long}\n"
    answer = imported(World(), body.encode(), kind)
    assert answer.status_code == 413, answer.content
    assert not Credential.objects.exists()


def test_an_import_may_be_larger_than_one_body(db):
    lines = [json.dumps(make_stripe_body(metadata={"a": "x" * 1000})) for _ in range(300)]
    answer = imported(World(), "\n".join(lines).encode(), "application/x-ndjson")
    assert answer.status_code == 200, answer.content
    assert answer.json()["created"] == 300


def test_an_import_of_more_than_ten_mebibytes_stores_nothing(db):
    line = json.dumps(make_stripe_body()).encode() + b"\n"
    answer = imported(World(), line + b" " * (10 * 1024 * 1024), "application/x-ndjson")
    assert answer.status_code == 413
    assert not Credential.objects.exists()


def test_there_are_bodies_to_try():
    assert len(WELL_FORMED) > 100
