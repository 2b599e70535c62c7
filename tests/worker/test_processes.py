"""Worker processes: they stop on a signal, and survive a restart of the database."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from credentials.models import Grant
from tests.fakes.fixtures import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture(autouse=True)
def _skip_sqlite(db):
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")


def count_refreshed() -> int:
    return Grant.objects.filter(generation=1).count()


@contextmanager
def stop_database() -> Iterator[None]:
    """End every connection but this test's own, and allow no new ones during the block."""
    name = connection.settings_dict["NAME"]
    connection.ensure_connection()
    own = connection.connection.info.backend_pid
    params = {**connection.get_connection_params(), "dbname": "postgres", "autocommit": True}
    params = {
        key: value
        for key, value in params.items()
        if key not in {"context", "cursor_factory", "prepare_threshold"}
    }
    with psycopg.connect(**params) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> %s",
            [name, own],
        )
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_sigterm_lets_running_refreshes_end_and_starts_no_more(grant, provider, start):
    provider.delay = 1
    for number in range(20):
        grant(f"user-{number}")
    process = start("worker", concurrency=4)
    wait_until(lambda: len(provider.calls) == 4)
    process.process.send_signal(signal.SIGTERM)
    assert process.result() == "stopped"
    assert (len(provider.calls), count_refreshed()) == (4, 4)
    assert not Grant.objects.filter(lease_until__isnull=False).exists()


def test_a_database_restart_under_load_loses_no_grant(grant, provider, start):
    provider.delay = 0.3
    rows = [grant(f"user-{number}") for number in range(40)]
    start("worker", concurrency=8)
    wait_until(lambda: count_refreshed() >= 8)
    with stop_database():
        time.sleep(2)
    wait_until(lambda: count_refreshed() == len(rows))
    assert provider.grants.reuses == []
    assert set(Counter(call["refresh_token"] for call in provider.calls).values()) == {1}
