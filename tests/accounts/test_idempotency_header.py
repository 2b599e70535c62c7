"""`Idempotency-Key`: its syntax, and the endpoints that accept it."""

from __future__ import annotations

import json

import pytest

from accounts.idempotency_decorator import parse_idempotency_key
from common.errors import BadRequestError
from config.api.docs import schema_document
from tests.accounts.sending import IDEMPOTENT_PATHS, is_replayed, post_with_key
from tests.api import ApiClient
from tests.factories import make_stripe_body
from tests.project.routes import Route, list_routes
from tests.project.world import World, snapshot_database


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        ('"two words, and a comma"', "two words, and a comma"),
        (r'"a \"quote\" and \\"', 'a "quote" and \\'),
        ("order:7;try=1", "order:7;try=1"),
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
    ],
    ids=["bare", "quoted", "spaces", "escapes", "punctuation", "uuid", "longest", "longest quoted"],
)
def test_key_is_parsed_with_and_without_quotes(sent, key):
    assert parse_idempotency_key(sent) == key


BAD_KEYS = {
    "empty": "",
    "empty quoted": '""',
    "too long": "x" * 256,
    "too long quoted": f'"{"x" * 256}"',
    "not ASCII": "clé",
    "not ASCII quoted": '"clé"',
    "another alphabet": "\u043a\u043b\u044e\u0447",
    "sent twice": "k-1,k-2",
    "sent twice, with a space": "k-1, k-2",
    "sent twice quoted": '"k-1", "k-1"',
    "space": "k 1",
    "tab": '"k\t1"',
    "delete": '"k\x7f"',
    "NUL": "k\x00",
    "escape sequence": "\x1b[0m",
    "half a quote": '"k-1',
    "the other half": 'k-1"',
    "quote within": 'k"1',
    "unknown escape": r'"k\n"',
    "parameters": '"k";a=1',
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_bad_key_is_400_and_has_no_effect(api, case):
    before = snapshot_database()
    response = post_with_key(api, "/v1/credentials", make_stripe_body(), key=BAD_KEYS[case])
    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["detail"]
    assert snapshot_database() == before


@pytest.mark.parametrize("sent", ["k\n", '"k"\n', "\nk", "k\r\nX: y"])
def test_a_line_break_is_no_part_of_a_key(sent):
    with pytest.raises(BadRequestError):
        parse_idempotency_key(sent)


def test_quotes_make_no_difference(api):
    body = make_stripe_body()
    post_with_key(api, "/v1/credentials", body, key="k-1")
    assert is_replayed(post_with_key(api, "/v1/credentials", body, key='"k-1"'))


TAKERS = {f"POST {path}" for path in IDEMPOTENT_PATHS}


@pytest.mark.parametrize(
    "route", [r for r in list_routes() if r.name not in TAKERS], ids=lambda route: route.name
)
def test_header_is_rejected_by_other_endpoints(db, route: Route):
    world = World()
    caller, path = ApiClient(world.token), route.build_path(**world.get_ids())
    before = snapshot_database()
    response = caller.send(
        route.method, path, route.build_body(), headers={"Idempotency-Key": "k-1"}
    )
    assert response.status_code == 400
    assert b"Idempotency-Key" in response.content
    assert snapshot_database() == before


def test_schema_names_the_endpoints_with_the_header():
    paths = json.loads(schema_document())["paths"]
    found = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", []))
    }
    assert found == TAKERS
    for name in TAKERS:
        answers = paths[name.partition(" ")[2]]["post"]["responses"]
        assert {"409", "422"} <= set(answers)
        done = answers.get("200") or answers["201"]
        assert "Idempotent-Replayed" in done["headers"]
