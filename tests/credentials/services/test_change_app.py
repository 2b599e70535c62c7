from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from credentials.core.grant_state import ACTIVE, NEEDS_REAUTH, PAUSED, get_grant
from credentials.models import Credential, Grant
from credentials.services.change_app import credential_change_app
from tests.factories import TESTER, make_app, make_credential, make_linear_body

LATER = timezone.now() + dt.timedelta(days=1)
FAILING: dict[str, Any] = {
    "failures": 3,
    "failing_since": timezone.now(),
    "rejected_since": timezone.now(),
    "error": "invalid_client",
    "next_at": LATER,
}


def change_app(account: Account, **columns: Any) -> Credential:
    """Move a grant that has these columns to another app and read it again."""
    row = make_credential(account, make_linear_body(make_app(account)))
    Grant.objects.filter(credentials=row.id).update(**columns)
    other = make_app(account)
    assert credential_change_app(
        account_id=account.pk, id=row.pk, actor=TESTER, oauth_app_id=other.pk
    )
    return Credential.objects.get(pk=row.pk, oauth_app=other)


def test_failing_grant_is_due_now(account: Account) -> None:
    row = change_app(account, **FAILING)
    stored = get_grant(row)
    assert stored.next_at is not None
    assert stored.next_at <= timezone.now() + dt.timedelta(seconds=5)
    assert (stored.failures, stored.error) == (0, "")
    assert (stored.failing_since, stored.rejected_since) == (None, None)


def test_grant_that_works_keeps_its_schedule(account: Account) -> None:
    row = change_app(account, next_at=LATER)
    stored = get_grant(row)
    assert (stored.next_at, stored.state) == (LATER, ACTIVE)


@pytest.mark.parametrize("state", [NEEDS_REAUTH, PAUSED])
def test_grant_that_no_app_can_refresh_stays_as_it_is(account: Account, state: str) -> None:
    row = change_app(account, **FAILING, state=state)
    stored = get_grant(row)
    assert (stored.state, stored.next_at) == (state, LATER)
    assert (stored.failures, stored.error) == (3, "invalid_client")


def test_grant_without_a_refresh_token_is_not_scheduled(account: Account) -> None:
    row = change_app(account, **{**FAILING, "next_at": None})
    assert get_grant(row).next_at is None
