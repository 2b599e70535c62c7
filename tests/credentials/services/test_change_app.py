from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from credentials.core.grant_state import ACTIVE, NEEDS_REAUTH, PAUSED
from credentials.models import Credential
from credentials.services.change_app import credential_change_app
from tests.factories import TESTER, make_app, make_credential, make_linear_body

LATER = timezone.now() + dt.timedelta(days=1)
FAILING: dict[str, Any] = {
    "refresh_failures": 3,
    "refresh_failing_since": timezone.now(),
    "refresh_rejected_since": timezone.now(),
    "refresh_error": "invalid_client",
    "refresh_next_at": LATER,
}


def change_app(account: Account, **columns: Any) -> Credential:
    """Move a grant that has these columns to another app and read it again."""
    row = make_credential(account, make_linear_body(make_app(account)))
    Credential.objects.filter(pk=row.pk).update(**columns)
    other = make_app(account)
    assert credential_change_app(
        account_id=account.pk, id=row.pk, actor=TESTER, oauth_app_id=other.pk
    )
    return Credential.objects.get(pk=row.pk, oauth_app=other)


def test_failing_grant_is_due_now(account: Account) -> None:
    row = change_app(account, **FAILING)
    assert row.refresh_next_at is not None
    assert row.refresh_next_at <= timezone.now() + dt.timedelta(seconds=5)
    assert (row.refresh_failures, row.refresh_error) == (0, "")
    assert (row.refresh_failing_since, row.refresh_rejected_since) == (None, None)


def test_grant_that_works_keeps_its_schedule(account: Account) -> None:
    row = change_app(account, refresh_next_at=LATER)
    assert (row.refresh_next_at, row.refresh_state) == (LATER, ACTIVE)


@pytest.mark.parametrize("state", [NEEDS_REAUTH, PAUSED])
def test_grant_that_no_app_can_refresh_stays_as_it_is(account: Account, state: str) -> None:
    row = change_app(account, **FAILING, refresh_state=state)
    assert (row.refresh_state, row.refresh_next_at) == (state, LATER)
    assert (row.refresh_failures, row.refresh_error) == (3, "invalid_client")


def test_grant_without_a_refresh_token_is_not_scheduled(account: Account) -> None:
    row = change_app(account, **{**FAILING, "refresh_next_at": None})
    assert row.refresh_next_at is None
