"""Connections and plans of PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection

from accounts.models import Account
from config.postgresql.base import has_ended
from credentials.core import queries
from tests.api import ApiClient
from tests.factories import make_credential

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="tests PostgreSQL")


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_closed_is_not_used_again(api: ApiClient) -> None:
    connection.ensure_connection()
    closed = connection.connection
    connection.close()
    with psycopg.connect(closed.info.dsn, password=closed.info.password) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [closed.info.backend_pid])
    assert has_ended(closed)
    assert [api.get("/v1/credentials").status_code for _ in range(3)] == [200] * 3


def test_an_idle_connection_has_not_ended(db: None) -> None:
    connection.ensure_connection()
    assert not has_ended(connection.connection)


def test_a_silent_server_times_out_after_ten_seconds(db: None) -> None:
    """Read the timeouts: the first is in milliseconds, the others are in seconds."""
    connection.ensure_connection()
    parameters = connection.connection.info.get_parameters()
    assert parameters["tcp_user_timeout"] == "10000"
    idle, every, count = (int(parameters[f"keepalives_{n}"]) for n in ("idle", "interval", "count"))
    assert idle + every * count <= 11


def test_an_unfiltered_list_reads_one_index_in_order(account: Account) -> None:
    make_credential(account)
    statements: list[tuple[str, Any]] = []

    def capture(execute, sql, params, many, context):
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(capture):
        queries.fetch_newest(account.id, 51)
    ((sql, params),) = statements
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_incremental_sort = off")
        cursor.execute(f"EXPLAIN {sql}", params)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "using credential_newest" in plan
    assert "Sort" not in plan
