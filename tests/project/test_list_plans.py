"""Lists: planned for their values, limited to an account, in one order, and limited in time."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from common.api.query_params import PAGINATION_PARAMS
from common.db import planner
from common.errors import ServiceUnavailableError
from config.api.docs import schema_document
from credentials.core import queries
from credentials.models import Credential
from events.models import Event
from tests.api import ApiClient
from tests.factories import make_account, make_credential, make_stripe_body, make_token
from tests.project.routes import OBJECTS
from tests.project.world import World

FILTERS = {
    "provider": "stripe",
    "kind": "stripe_key",
    "health.status": "ok",
    "metadata": json.dumps({"plan": "team"}),
    "oauth_app_id": "01989aa0-0000-7000-8000-000000000000",
    "expiring_before": "2100-01-01T00:00:00Z",
    "created_after": "2000-01-01T00:00:00Z",
    "created_before": "2100-01-01T00:00:00Z",
    "verb": "credential.created",
    "target": "01989aa0-0000-7000-8000-000000000000",
    "actor": "test",
    "after": "2000-01-01T00:00:00Z",
    "before": "2100-01-01T00:00:00Z",
    "status": "open",
    "owner_email": "ann@acme.example",
    "q": "acme",
    "refresh.state": "fresh",
    "external_id": "acct_1",
    "state": "pending",
    "type": "credential.created",
    "truncate_secrets": "true",
}
"""A valid value of each filter. A new filter without one fails `list_queries`."""

ON_POSTGRESQL = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite plans each statement for itself"
)
LISTS_IN_MEMORY = {"/v1/providers"}
"""Lists of what the process has read from files, without a statement."""

PREPARED_AFTER = 5
MORE_THAN_PREPARED = 2 * PREPARED_AFTER + 2
"""PostgreSQL makes five plans for the values of a prepared statement; then it may keep one."""


def list_queries() -> list[str]:
    """Return a path with a query string for each list, without filters and with each of them."""
    found = []
    for path, operations in json.loads(schema_document())["paths"].items():
        parameters = {item["name"] for item in operations.get("get", {}).get("parameters", ())}
        if "cursor" not in parameters or path in LISTS_IN_MEMORY:
            continue
        found.append(path)
        filters = [
            item["name"] for item in operations["get"]["parameters"] if item["in"] == "query"
        ]
        for name in sorted(set(filters) - PAGINATION_PARAMS):
            assert name in FILTERS, f"the filter {name} of {path} has no value in this test"
            found.append(f"{path}?{urlencode({name: FILTERS[name]})}")
    return found


LISTS = list_queries()


@pytest.fixture
def world(db) -> World:
    world = World()
    world.create_rows()
    ApiClient(world.token).get("/v1/credentials?limit=1")
    return world


def build_path(world: World, path: str) -> str:
    ids = world.get_ids()
    route, _, query = path.partition("?")
    template = re.sub(r"\{id\}", "{pk}", route)
    if "{" in template:
        template = re.sub(r"\{\w+\}", str(ids[OBJECTS[template]]), template)
    return f"{template}?{query}" if query else template


def capture_list(world: World, path: str) -> list[str]:
    """Return the statements of a list."""
    address = build_path(world, path)
    with CaptureQueriesContext(connection) as captured:
        response = ApiClient(world.token).get(address)
    assert response.status_code == 200, response.content
    return [query["sql"] for query in captured.captured_queries]


def select_rows(statements: list[str]) -> str:
    """Return the statement that reads the rows of a list: the last one of an order."""
    return [sql for sql in statements if "ORDER BY" in sql][-1]


def test_the_lists_of_the_api_are_found():
    assert {path.partition("?")[0] for path in LISTS} >= {
        "/v1/credentials",
        "/v1/events",
        "/v1/oauth-apps",
        "/v1/webhook-endpoints/{endpoint_id}/deliveries",
        "/v1/credentials/{id}/health-changes",
        "/api/credentials",
    }


@pytest.mark.parametrize("path", LISTS)
def test_a_list_names_its_account_and_is_in_its_order(world, path):
    sql = select_rows(capture_list(world, path)).replace('"', "")
    assert re.search(r"\baccount_id (= |= ANY)", sql), sql
    # Django writes 1 for a column that is selected first.
    assert re.search(r"ORDER BY (\w+)\.account_id DESC, (\1\.id|1) DESC", sql), sql


@ON_POSTGRESQL
@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_a_time_limit(world, path):
    statements = capture_list(world, path)
    rows = statements.index(select_rows(statements))
    # Without filters, one index leads to the rows of the page.
    has_one_plan = path == "/v1/credentials"
    assert has_one_plan or statements[rows - 1] == "SET LOCAL statement_timeout = 2000"


@ON_POSTGRESQL
def test_no_list_keeps_a_plan(world):
    paths = [build_path(world, path) for path in LISTS]
    client = ApiClient(world.token)
    prepared = set()
    for path in paths:
        for _ in range(MORE_THAN_PREPARED):
            assert client.get(path).status_code == 200
        # After each list, because the driver keeps 100 statements.
        prepared.update(list_prepared())
    assert [sql for sql in prepared if not planner.may_keep_plan(sql)] == []
    # Otherwise this connection would prepare nothing, and the test would prove nothing.
    assert any("keeps its plan" in sql for sql in prepared)


def list_prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [sql for (sql,) in cursor.fetchall()]


@ON_POSTGRESQL
def test_a_common_value_after_a_rare_one_has_a_plan_of_its_own(db):
    account = make_account()
    for number in range(3):
        make_credential(account, make_stripe_body(metadata={"customer_id": f"cus_{number}"}))
    client = ApiClient(make_token(account))
    rare = quote(json.dumps({"customer_id": "cus_1"}))
    for metadata, count in [(rare, 1)] * 14 + [("%7B%7D", 3)]:
        response = client.get(f"/v1/credentials?metadata={metadata}")
        assert len(response.json()["data"]) == count
    assert not any("@>" in sql for sql in list_prepared())


@ON_POSTGRESQL
def test_the_events_of_a_small_account_after_those_of_a_large_one(db):
    large, small = make_account(), make_account()
    for account in [large] * MORE_THAN_PREPARED + [small]:
        response = ApiClient(make_token(account)).get("/v1/events")
        assert response.status_code == 200
    table = Event._meta.db_table
    assert not any(table in sql for sql in list_prepared() if sql.startswith("SELECT"))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t WHERE id = %s", True),
        ("SELECT a FROM t WHERE id = %s LIMIT 21", True),
        ("UPDATE t SET a = %s WHERE id = %s", True),
        ("SELECT a FROM t WHERE b = %s ORDER BY id DESC", False),
        ("SELECT 1 FROM t WHERE b = %s LIMIT 1", False),
        ("SELECT a FROM t WHERE b = %s LIMIT 210", False),
        ("SELECT COUNT(*) FROM t WHERE b = %s", False),
        ("UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t ORDER BY b LIMIT %s)", False),
        (planner.keep_plan("SELECT a FROM t WHERE b = %s ORDER BY id DESC LIMIT 51"), True),
        (f"SELECT a FROM t WHERE b IN ({', '.join(['%s'] * 9000)})", False),
    ],
)
def test_statements_that_select_from_many_rows_keep_no_plan(sql, expected):
    assert planner.may_keep_plan(sql) is expected


SLOW = {
    "postgresql": "SELECT count(*) FROM generate_series(1, 1000000000)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}


def run_slow_list() -> list[Any]:
    return planner.fetch_list(SLOW[connection.vendor], [])


def test_a_slow_statement_ends(db, monkeypatch):
    monkeypatch.setattr(planner, "LIST_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(ServiceUnavailableError) as raised, planner.limit_list_time():
        run_slow_list()
    assert time.monotonic() - started < 10
    assert raised.value.extra == {"code": "list_timeout"}
    assert "0.2 seconds" in raised.value.detail
    # The connection is usable, and its statements are unlimited again.
    assert Credential.objects.count() == 0


def test_another_error_is_not_a_timeout(db):
    with pytest.raises(OperationalError, match="disk"), planner.limit_list_time():
        raise OperationalError("disk full")


def test_a_list_that_takes_too_long_is_503(world, monkeypatch):
    monkeypatch.setattr(planner, "LIST_SECONDS", 0.2)
    monkeypatch.setattr(queries, "fetch_list_in_order", lambda *statements: run_slow_list())
    response = ApiClient(world.token).get("/v1/credentials?provider=stripe")
    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response["Retry-After"] == "5"
    document = response.json()
    assert document["code"] == "list_timeout"
    assert "Add a filter that fewer rows match" in document["detail"]


@ON_POSTGRESQL
@pytest.mark.parametrize("path", [path for path in LISTS if path.startswith("/v1/credentials?")])
def test_a_list_by_its_matches_has_the_same_rows(world, monkeypatch, path):
    address = build_path(world, path)
    client = ApiClient(world.token)
    in_order = client.get(f"{address}&limit=1").content
    monkeypatch.setattr(planner._SLOW_IN_ORDER, "contains", lambda key: True)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(f"{address}&limit=1").content == in_order
    assert any(query["sql"].startswith("WITH matches") for query in captured.captured_queries)


@ON_POSTGRESQL
def test_a_list_that_is_slow_in_order_is_read_by_its_matches(db, settings):
    settings.ORDERED_LIST_SECONDS = 0.1
    slow = planner.Statement(SLOW[connection.vendor], [])
    by_matches = planner.Statement("SELECT %s", ["matches"])
    assert planner.fetch_list_in_order(slow, by_matches) == [("matches",)]
    # The decision is remembered.
    with CaptureQueriesContext(connection) as captured:
        assert planner.fetch_list_in_order(slow, by_matches) == [("matches",)]
    assert not any("generate_series" in query["sql"] for query in captured.captured_queries)


def test_recent_keys_are_bounded_and_end():
    keys = planner.RecentKeys(2, seconds=3600)
    for key in "abca":
        keys.add(key)
    assert [key for key in "abc" if keys.contains(key)] == ["a", "c"]
    ended = planner.RecentKeys(2, seconds=-1)
    ended.add("a")
    assert not ended.contains("a")


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_the_limit_ends_with_the_list():
    before = read_timeout()
    with planner.limit_list_time():
        assert read_timeout() == "2s"
    assert read_timeout() == before != "2s"


@ON_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_a_list_and_its_limit_are_one_message(monkeypatch):
    before = read_timeout()
    with CaptureQueriesContext(connection) as captured:
        assert planner.fetch_list("SELECT %s, '100%%'", ["it's \\ 5"]) == [("it's \\ 5", "100%")]
    assert len(captured.captured_queries) == 1
    monkeypatch.setattr(planner, "LIST_SECONDS", 0.2)
    with pytest.raises(ServiceUnavailableError):
        run_slow_list()
    # The connection is usable, and its statements are unlimited again.
    assert read_timeout() == before != "2s"
    assert Credential.objects.count() == 0


def read_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])
