"""A token server that is slower than its callers are patient gets each refresh token once."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token
from credentials.refresh.schedule import LONGEST_LEASE, SHORTEST_LEASE, compute_lease_seconds
from providers.kinds import Refresh
from tests.factories import TESTER
from tests.fakes.fixtures import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def _postgresql_alone(db):
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")


def test_a_server_slower_than_its_callers_is_called_once(provider, grant, start):
    provider.delay = 14
    row = grant()
    worker = start("worker", concurrency=4)
    readers = [
        start("readers", ids=[str(row.id)], account=str(row.account_id), threads=20)
        for _ in range(3)
    ]
    for process in [worker, *readers]:
        process.wait_ready()
    for process in readers:
        process.release()
    results = {result for process in readers for result in process.result()}
    assert results <= {"refresh_in_progress"}
    wait_until(lambda: get_grant(Credential.objects.get(id=row.id)).generation == 1)
    assert [call["refresh_token"] for call in provider.calls] == ["refresh-ann-1"]
    assert provider.grants.reuses == []
    fresh = get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert provider.grants.is_alive(fresh.access_token.expose())


def test_a_response_is_stored_after_its_caller_has_gone(provider, grant, monkeypatch):
    monkeypatch.setattr("credentials.refresh.attempt.CALLER_PATIENCE", 0.2)
    provider.delay = 1
    row = grant()
    with pytest.raises(Exception, match="slow"):
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    wait_until(lambda: get_grant(Credential.objects.get(id=row.id)).generation == 1)
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert (stored.lease_owner, stored.unknowns) == ("", 0)


def test_the_lease_of_a_slow_call_is_renewed(provider, grant, monkeypatch):
    monkeypatch.setattr("credentials.refresh.attempt.CALLER_PATIENCE", 0.2)
    monkeypatch.setattr("credentials.refresh.provider_calls.HEARTBEAT_SECONDS", 0.4)
    provider.delay = 2
    row = grant()
    with pytest.raises(Exception, match="slow"):
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    first = Grant.objects.get(credentials=row.id)
    time.sleep(1)
    second = Grant.objects.get(credentials=row.id)
    assert first.lease_renewed_at
    assert second.lease_renewed_at
    assert second.lease_renewed_at > first.lease_renewed_at
    wait_until(lambda: get_grant(Credential.objects.get(id=row.id)).generation == 1)


def test_a_killed_refresher_of_a_strict_provider_leaves_the_grant_in_doubt(
    provider, grant, start, api
):
    provider.delay = 3
    row = grant()
    process = start("readers", ids=[str(row.id)], account=str(row.account_id), threads=1)
    process.wait_ready()
    process.release()
    wait_until(lambda: bool(provider.calls))
    process.process.kill()
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    assert stored.lease_until
    assert stored.lease_renewed_at
    lease_seconds = (stored.lease_until - stored.lease_renewed_at).total_seconds()
    # The two columns are two readings of the clock, and a heartbeat does not move the end.
    assert LONGEST_LEASE - 10 < lease_seconds <= LONGEST_LEASE + 0.1
    Grant.objects.filter(credentials=row.id).update(lease_renewed_at="2026-01-01T00:00:00Z")
    state = api.get(f"/v1/credentials/{row.id}").json()["refresh"]["state"]
    assert state == "in_doubt"


def make_facts(*, rotates: bool | None = True, grace_seconds: int | None = None) -> Refresh:
    return Refresh(
        rotates=rotates,
        grace_seconds=grace_seconds,
        idle_days=None,
        lifetime_days=None,
        access_token_seconds=None,
    )


@pytest.mark.parametrize(
    ("facts", "responds_fast", "seconds"),
    [
        (make_facts(grace_seconds=60), False, 18),
        (make_facts(grace_seconds=30), False, 8),
        (make_facts(grace_seconds=10), False, 8),
        (make_facts(grace_seconds=1800), False, LONGEST_LEASE),
        (make_facts(grace_seconds=0), True, LONGEST_LEASE),
        (make_facts(), True, SHORTEST_LEASE),
        (make_facts(), False, LONGEST_LEASE),
        (make_facts(rotates=False), False, SHORTEST_LEASE),
        (None, False, LONGEST_LEASE),
    ],
)
def test_the_lease_lasts_until_a_second_request_is_safe(facts, responds_fast, seconds):
    assert compute_lease_seconds(facts, responds_fast=responds_fast) == seconds
