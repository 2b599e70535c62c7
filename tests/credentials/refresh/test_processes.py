"""Concurrent processes on one database: one call per expiry, and nothing lost when one is killed.

The names T1 to T9 are those of the faults that were found in other software of this kind.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from django.db import connection

from config.worker.loop import Worker
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token
from credentials.refresh.tasks import RefreshTask
from tests.api import ApiClient
from tests.factories import TESTER, make_token
from tests.fakes.fixtures import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture(autouse=True)
def _postgresql_alone(db):
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")


def read_at_once(start, rows, *, processes: int, threads: int, **more: Any) -> list[str]:
    """Return what `processes` with `threads` each get when all request tokens at the same time."""
    ids = [str(row.id) for row in rows]
    account = str(rows[0].account_id)
    started = [
        start("readers", ids=ids, account=account, threads=threads, **more)
        for _ in range(processes)
    ]
    for process in started:
        process.wait_ready()
    for process in started:
        process.release()
    return [answer for process in started for answer in process.result()]


def test_sixty_readers_in_one_process_make_one_call(provider, grant, start):
    provider.delay = 0.3
    answers = read_at_once(start, [grant()], processes=1, threads=60)
    assert len(set(answers)) == 1
    assert provider.grants.is_alive(answers[0])
    assert len(provider.calls) == 1


def test_sixty_readers_in_four_processes_make_one_call(provider, grant, start):
    provider.delay = 0.3
    answers = read_at_once(start, [grant()], processes=4, threads=15)
    assert len(set(answers)) == 1
    assert provider.grants.is_alive(answers[0])
    assert len(provider.calls) == 1


def test_two_processes_and_five_grants_make_five_calls(provider, grant, start):
    provider.delay = 0.5
    rows = [grant(f"user-{n}") for n in range(5)]
    answers = read_at_once(start, rows, processes=2, threads=20)
    assert all(provider.grants.is_alive(answer) for answer in answers)
    assert (len(provider.calls), provider.grants.reuses) == (5, [])


def test_slow_token_server_is_called_once_per_grant(provider, grant, start):
    """The readers wait for it, or get 503."""
    provider.delay = 6
    rows = [grant(f"user-{n}") for n in range(5)]
    answers = read_at_once(start, rows, processes=2, threads=30)
    good = [answer for answer in answers if provider.grants.is_alive(answer)]
    assert len(provider.calls) == 5
    assert provider.grants.reuses == []
    assert set(answers) - set(good) <= {"refresh_in_progress"}
    assert len(good) >= 5
    for row in rows:
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert len(provider.calls) == 5


def test_sixty_forced_refreshes_make_one_call_per_wave(provider, grant, start):
    provider.delay = 0.5
    row = grant(expires_at="2099-01-01T00:00:00Z")
    answers = read_at_once(start, [row], processes=2, threads=30, force=True)
    assert len(set(answers)) <= 2
    assert len(provider.calls) == len(set(answers))
    assert provider.grants.reuses == []


def test_twenty_concurrent_imports_of_one_account_make_one_row(account, app, provider, start):
    body = {
        "properties": {"kind": "fake_oauth2", "user_id": "new", "refresh_token": "r"},
        "oauth_app_id": str(app.id),
    }
    started = [start("importers", account=str(account.id), body=body, threads=10) for _ in range(2)]
    for process in started:
        process.wait_ready()
    for process in started:
        process.release()
    results = Counter(result for process in started for result in process.result())
    assert results == {"created": 1, "unchanged": 19}
    assert Credential.objects.count() == 1


def test_two_workers_share_the_work(provider, grant, start):
    provider.delay = 0.3
    rows = [grant(f"user-{n}") for n in range(60)]
    began = time.monotonic()
    workers = [start("worker", concurrency=16) for _ in range(2)]
    for process in workers:
        process.wait_ready()
    wait_until(lambda: Grant.objects.filter(generation=1).count() == len(rows))
    assert time.monotonic() - began < 60
    assert Counter(Counter(call["refresh_token"] for call in provider.calls).values()) == {1: 60}


CRASHES = ["before_send", "after_send", "after_receipt", "before_commit", "after_commit"]


def kill_at(point: str, row: Credential, provider, start) -> None:
    """Kill a process that refreshes `row` at `point`, and let its lease expire."""
    provider.delay = 0.8 if point == "after_send" else 0
    process = start("crash", crash=point, ids=[str(row.id)], account=str(row.account_id))
    process.wait_ready()
    process.release()
    assert process.process.wait(30) == -9
    # What was sent arrives, though its sender is dead.
    sent = point != "before_send"
    wait_until(
        lambda: len(provider.calls) >= sent and all(call["outcome"] for call in provider.calls)
    )
    provider.delay = 0
    Grant.objects.filter(credentials=row.id, lease_until__isnull=False).update(
        lease_until="2026-01-01T00:00:00Z"
    )


def run_worker(concurrency: int = 4) -> None:
    """Run a worker, which is another process than the one that was killed."""
    Worker([RefreshTask()], concurrency=concurrency).run(once=True)


@pytest.mark.parametrize("point", CRASHES)
def test_kill_within_grace_period_loses_nothing(provider, grant, start, facts, point):
    provider.grants.grace = 30
    facts(grace_seconds=30)
    row = grant()
    kill_at(point, row, provider, start)
    run_worker()
    token = get_fresh_token(
        account_id=row.account_id, id=row.id, actor=TESTER
    ).access_token.expose()
    after = Credential.objects.get(id=row.id)
    assert provider.grants.is_alive(token)
    stored = get_grant(after)
    assert (stored.state, stored.generation, provider.grants.reuses) == (
        "active",
        1,
        [],
    )


@pytest.mark.parametrize("point", CRASHES)
def test_kill_under_strict_rotation_is_reported(provider, grant, start, point):
    row = grant()
    kill_at(point, row, provider, start)
    run_worker()
    after = Credential.objects.get(id=row.id)
    stored = get_grant(after)
    if point in {"before_send", "after_commit"}:  # The provider has the state that we have.
        assert (stored.state, stored.generation) == ("active", 1)
    else:
        assert (stored.state, stored.error) == (
            "needs_reauth",
            "rotation_response_lost",
        )


def test_abandoned_lease_is_claimed_before_due_grants(provider, grant, start):
    provider.grants.grace = 30
    rows = [grant(f"user-{n}") for n in range(3)]
    kill_at("after_receipt", rows[2], provider, start)
    run_worker(concurrency=1)
    assert provider.calls[1]["refresh_token"] == provider.calls[0]["refresh_token"]


def test_import_without_refresh_token_keeps_it(provider, grant, account, app):
    row = grant()
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    body = {"properties": {"kind": "fake_oauth2", "user_id": "ann"}, "oauth_app_id": str(app.id)}
    answer = ApiClient(make_token(account)).post("/v1/credentials", body)
    assert answer["Latchkey-Import"] == "unchanged"
    get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER, force=True)


def test_ciphertext_of_another_row_reveals_nothing_and_blocks_no_list(provider, grant, account):
    mine, other = grant("ann"), grant("bob")
    Credential.objects.filter(id=mine.id).update(
        secrets=Credential.objects.get(id=other.id).secrets
    )
    api = ApiClient(make_token(account))
    answer = api.post(f"/v1/credentials/{mine.id}/token")
    assert answer.status_code == 409
    assert "bob" not in answer.content.decode()
    assert len(api.get("/v1/credentials").json()["data"]) == 2
    assert api.post(f"/v1/credentials/{other.id}/token").status_code == 200
