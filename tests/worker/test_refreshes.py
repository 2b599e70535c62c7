"""The refreshes of the worker: which grants are claimed, and in which order."""

from __future__ import annotations

from collections import Counter

import pytest

from config.worker.loop import Worker
from credentials.core.grant_state import ENDED_GRANT
from credentials.models import Credential, Grant
from credentials.refresh.tasks import RefreshTask
from oauth_apps.models import OAuthApp
from tests.factories import make_account, make_app
from tests.fakes.fixtures import make_grant

pytestmark = pytest.mark.django_db


def make_due(row: Credential) -> None:
    Grant.objects.filter(credentials=row.id).update(next_at="2026-01-01T00:00:00Z")


def claim_rows(limit: int, source: RefreshTask | None = None) -> list[Credential]:
    return [claim.row for claim in (source or RefreshTask()).claim("me", limit)]


def test_due_grants_alone_are_claimed(grant):
    row = grant("ann")
    make_due(row)
    grant("bob", expires_at="2099-01-01T00:00:00Z")
    assert [claim.id for claim in claim_rows(10)] == [row.id]


def test_a_claimed_grant_is_not_claimed_again(grant):
    make_due(grant())
    assert len(claim_rows(10)) == 1
    assert claim_rows(10) == []


def test_a_grant_with_an_expired_lease_is_claimed_even_if_its_token_is_fresh(grant):
    row = grant(expires_at="2099-01-01T00:00:00Z")
    Grant.objects.filter(credentials=row.id).update(
        lease_owner="dead",
        lease_until="2026-01-01T00:00:00Z",
        next_at="2026-01-01T00:00:00Z",  # A leased grant is due.
    )
    assert [claim.id for claim in claim_rows(10)] == [row.id]


def test_dead_grants_are_not_claimed(grant):
    row = grant()
    make_due(row)
    Grant.objects.filter(credentials=row.id).update(**ENDED_GRANT)
    assert claim_rows(10) == []


def test_accounts_have_equal_shares(provider, account, app):
    small = make_account("Small")
    few = [make_grant(small, make_app(small, "fake"), provider, f"few-{n}") for n in range(2)]
    for row in [make_grant(account, app, provider, f"many-{n}") for n in range(8)] + few:
        make_due(row)
    shares = Counter(row.account_id for row in claim_rows(4))
    assert shares == {account.id: 2, small.id: 2}


def test_apps_of_an_account_have_equal_shares(provider, account, app):
    other = make_app(account, "fake")
    for at in (app, other):
        for number in range(4):
            make_due(make_grant(account, at, provider, f"{at.client_id}-{number}"))
    assert Counter(row.oauth_app_id for row in claim_rows(4)) == {app.id: 2, other.id: 2}


def test_running_refreshes_count_for_the_next_share(provider, account, app):
    small = make_account("Small")
    for number in range(6):
        make_due(make_grant(account, app, provider, f"many-{number}"))
    source = RefreshTask()
    assert len(claim_rows(3, source)) == 3
    for number in range(3):
        make_due(make_grant(small, make_app(small, "fake"), provider, f"few-{number}"))
    assert Counter(row.account_id for row in claim_rows(3, source)) == {small.id: 3}


def test_grants_of_a_paused_app_are_not_claimed(grant, app, provider):
    for user in ("ann", "bob", "cleo"):
        make_due(grant(user))
    provider.mode = "invalid_client"
    source = RefreshTask()
    for _ in range(2):
        for claim in source.claim("me", 1):
            source.run(claim)
    assert len(provider.calls) == 2
    assert claim_rows(10) == []


def test_a_refresh_takes_few_statements(grant, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr("credentials.refresh.app_cache.CACHE_SECONDS", 0)
    for user in ("ann", "bob"):
        make_due(grant(user))
    source = RefreshTask()
    for claim in source.claim("me", 2):
        source.run(claim)
    Grant.objects.update(next_at="2026-01-01T00:00:00Z")
    claims = source.claim("me", 2)
    assert len(claims) == 2
    # Seven, and within a test's transaction two of a savepoint and two that read the index key.
    with django_assert_max_num_queries(2 * (7 + 2 + 2)):
        for claim in claims:
            source.run(claim)


def test_a_changed_app_is_used_soon(grant, app, monkeypatch):
    monkeypatch.setattr("credentials.refresh.app_cache.CACHE_SECONDS", 0)
    source = RefreshTask()
    names = []
    for user in ("ann", "bob"):
        make_due(grant(user))
        OAuthApp.objects.filter(id=app.id).update(name=user)
        apps = [claim.row.oauth_app for claim in source.claim("me", 1)]
        names += [app.name for app in apps if app]
    assert names == ["ann", "bob"]


def test_next_due_is_the_time_of_the_next_refresh(grant):
    assert RefreshTask().next_due() is None
    row = grant()
    make_due(row)
    due_at = RefreshTask().next_due()
    assert due_at is not None
    assert due_at.isoformat() == "2026-01-01T00:00:00+00:00"


@pytest.mark.django_db(transaction=True)
def test_a_worker_refreshes_all_that_is_due(grant, provider):
    rows = [grant(f"user-{n}") for n in range(12)]
    for row in rows:
        make_due(row)
    Worker([RefreshTask()], concurrency=4).run(once=True)
    assert Grant.objects.filter(generation=1, next_at__isnull=False).count() == 12
    assert len(provider.calls) == 12
