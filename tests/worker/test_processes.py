"""Workers as processes: they stop when told to, and live through a database that goes away."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from credentials.models import Credential
from tests.fakes.fixtures import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture(autouse=True)
def _postgresql_alone(db):
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")


def refreshed() -> int:
    return Credential.objects.filter(generation=1).count()


@contextmanager
def database_away() -> Iterator[None]:
    """Every connection but this test's own ends, and there is no new one while the block lasts."""
    name = connection.settings_dict["NAME"]
    connection.ensure_connection()
    own = connection.connection.info.backend_pid
    elsewhere = {**connection.get_connection_params(), "dbname": "postgres", "autocommit": True}
    elsewhere = {
        key: value
        for key, value in elsewhere.items()
        if key not in {"context", "cursor_factory", "prepare_threshold"}
    }
    with psycopg.connect(**elsewhere) as admin:
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


def test_sigterm_lets_what_runs_end_and_begins_nothing(grant, provider, start):
    provider.delay = 1
    for number in range(20):
        grant(f"user-{number}")
    process = start("worker", concurrency=4)
    wait_until(lambda: len(provider.calls) == 4)
    process.process.send_signal(signal.SIGTERM)
    assert process.result() == "stopped"
    assert (len(provider.calls), refreshed()) == (4, 4)
    assert not Credential.objects.filter(lease_until__isnull=False).exists()


def test_a_database_that_goes_away_under_load_costs_no_grant(grant, provider, start):
    """As in a restart: every connection ends, and for two seconds there is no other."""
    provider.delay = 0.3
    rows = [grant(f"user-{number}") for number in range(40)]
    start("worker", concurrency=8)
    wait_until(lambda: refreshed() >= 8)
    with database_away():
        time.sleep(2)
    wait_until(lambda: refreshed() == len(rows), within=40)
    assert provider.grants.reuses == []
    assert set(Counter(call["refresh_token"] for call in provider.calls).values()) == {1}
