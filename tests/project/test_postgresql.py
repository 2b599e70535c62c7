"""What only PostgreSQL does for us."""

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

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="is about PostgreSQL alone"
)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_ended_is_not_used_again(api: ApiClient) -> None:
    connection.ensure_connection()
    held = connection.connection
    connection.close()
    with psycopg.connect(held.info.dsn, password=held.info.password) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [held.info.backend_pid])
    assert has_ended(held)
    assert [api.get("/v1/credentials").status_code for _ in range(3)] == [200] * 3


def test_an_idle_connection_lives(db: None) -> None:
    connection.ensure_connection()
    assert not has_ended(connection.connection)


def test_a_server_that_says_nothing_is_given_up_in_ten_seconds(db: None) -> None:
    """Where packets vanish; libpq counts in seconds, but for the first, which it has in milliseconds."""
    connection.ensure_connection()
    given = connection.connection.info.get_parameters()
    assert given["tcp_user_timeout"] == "10000"
    idle, every, count = (int(given[f"keepalives_{n}"]) for n in ("idle", "interval", "count"))
    assert idle + every * count <= 11


def test_a_list_without_filters_reads_one_index_in_its_order(account: Account) -> None:
    make_credential(account)
    seen: list[tuple[str, Any]] = []

    def note(execute, sql, params, many, context):
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        queries.fetch_newest(account.id, 51)
    ((sql, params),) = seen
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_incremental_sort = off")
        cursor.execute(f"EXPLAIN {sql}", params)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "using credential_newest" in plan
    assert "Sort" not in plan
