"""The exact number of statements of a call, which does not depend on the number of rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api import ApiClient
from tests.factories import (
    make_app,
    make_credential,
    make_endpoint,
    make_linear_body,
    make_link,
    make_stripe_body,
)
from tests.project.world import World
from webhooks.outbox import enqueue

BEARER = 1
"""Statements that authenticate. Another one updates last_used_at, once a minute, before the count."""

LISTS = {
    "/v1/credentials": 1,
    "/v1/credentials?limit=2": 1,
    "/v1/credentials?provider=stripe&kind=stripe_key&health.status=error": 1,
    # One more reads the ids of the apps that are rejected.
    "/v1/credentials?provider=stripe&kind=stripe_key&health.status=unknown": 2,
    "/v1/credentials?metadata=%7B%22a%22%3A1%7D": 1,
    "/v1/credentials?created_after=2000-01-01T00:00:00Z&expiring_before=2100-01-01T00:00:00Z": 1,
    "/v1/credentials?oauth_app_id=$APP": 1,
    "/v1/oauth-apps": 1,
    "/v1/oauth-apps?provider=stripe&metadata=%7B%7D": 1,
    "/v1/events": 1,
    "/v1/events?verb=credential.created": 1,
    "/v1/webhook-endpoints": 1,
    "/v1/connect-links": 1,
    "/v1/connect-links?status=open": 1,
    "/v1/webhook-endpoints/$ENDPOINT/deliveries": 2,
    "/api/credentials": 1,
    "/api/credentials?limit=2": 1,
}
NONE = {
    "/v1/providers": 0,
    "/v1/providers/stripe": 0,
    "/v1/credentials?provider=stripe&kind=linear_oauth2": 0,
}
ONE = {"/v1/credentials/$ID": 1, "/v1/oauth-apps/$APP": 1}


@pytest.fixture
def world(db) -> World:
    world = World()
    make_rows(world, 3)
    # The first call updates the token's last_used_at and decrypts the index key.
    ApiClient(world.token).get("/v1/credentials?limit=1")
    return world


def make_rows(world: World, count: int) -> None:
    world.endpoint  # noqa: B018 - created before the events it subscribes to
    for _ in range(count):
        body = make_stripe_body(metadata={"a": 1}, oauth_app_id=str(world.app.id))
        make_credential(world.account, body)
        make_app(world.account, "stripe")
        make_endpoint(world.account)
        make_link(world.account)
        enqueue(world.account.id, [("oauth_app.updated", world.app.id)])
    world.create_rows()


def capture_statements(world: World, method: str, path: str, body: Any = None) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        response = ApiClient(world.token).send(method, world.substitute(path), body)
    assert response.status_code == 200, response.content
    # The index key is cached after a commit, which a test's transaction never has.
    return [
        query["sql"]
        for query in captured.captured_queries
        if "vault_indexkey" not in query["sql"]
        and not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "SET LOCAL"))
    ]


@pytest.mark.parametrize(("path", "count"), (LISTS | NONE | ONE).items())
def test_a_read_has_its_number_of_statements(world, path, count):
    assert len(capture_statements(world, "GET", path)) == BEARER + count


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_the_same_number_with_more_rows(world, path):
    few = capture_statements(world, "GET", path)
    make_rows(world, 12)
    assert len(capture_statements(world, "GET", path)) == len(few)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_uses_neither_count_nor_offset(world, path):
    for sql in capture_statements(world, "GET", path):
        assert "OFFSET" not in sql.upper()
        assert "COUNT(" not in sql.upper()


@pytest.mark.parametrize("path", [path for path in LISTS if "?" not in path])
def test_a_next_page_has_the_same_number(world, path):
    first = capture_statements(world, "GET", f"{path}?limit=2")
    response = ApiClient(world.token).get(world.substitute(f"{path}?limit=2"))
    follow = response["Link"].partition("<")[2].partition(">")[0].removeprefix("http://testserver")
    assert "cursor=" in follow
    second = capture_statements(world, "GET", follow)
    assert len(second) == len(first)
    assert not any("OFFSET" in sql.upper() for sql in second)


def test_an_unchanged_import_writes_nothing(world):
    body = make_stripe_body("sk_live_again")
    ApiClient(world.token).post("/v1/credentials", body)
    sent = capture_statements(world, "POST", "/v1/credentials", body)
    # The rows of the identity, the clock, and the credential of the response.
    assert len(sent) == BEARER + 3
    assert not any(sql.startswith(("INSERT", "UPDATE", "DELETE")) for sql in sent)


def test_an_import_with_an_app_reads_it_once(world):
    app = make_app(world.account)
    body = make_linear_body(app)
    ApiClient(world.token).post("/v1/credentials", body)
    # One of them looks for other persons of the organisation.
    assert len(capture_statements(world, "POST", "/v1/credentials", body)) == BEARER + 5


@pytest.mark.parametrize("count", [2, 30])
def test_a_bulk_import_has_the_same_number_for_any_size(world, count):
    bodies = [make_stripe_body() for _ in range(count)]
    # The rows, former identities, the clock, inserts of rows and of events, the account's
    # webhook endpoints, and one insert of deliveries.
    assert len(capture_statements(world, "POST", "/v1/credentials/import", bodies)) == BEARER + 7


@pytest.mark.parametrize("token", ["lk_" + "0" * 36, "nonsense", "lk_sess_" + "A" * 36])
def test_a_token_with_a_wrong_checksum_is_rejected_without_a_statement(db, token):
    with CaptureQueriesContext(connection) as captured:
        assert ApiClient(token).get("/v1/credentials").status_code == 401
    assert not captured.captured_queries
