"""The waits that callers are told."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import pytest

from common.errors import ServiceUnavailableError
from credentials.models import Credential, Grant
from credentials.refresh import get_fresh_token, services
from credentials.refresh.provider_calls import ProviderCall
from tests.factories import TESTER

pytestmark = pytest.mark.django_db


def request_token(row: Credential) -> ServiceUnavailableError:
    with pytest.raises(ServiceUnavailableError) as caught:
        get_fresh_token(account_id=row.account_id, id=row.id, actor=TESTER)
    assert caught.value.extra["code"] == "refresh_in_progress"
    return caught.value


def lease_to_another(row: Credential, *, lasts: int, renewed: int) -> None:
    now = dt.datetime.now(dt.UTC)
    Grant.objects.filter(credentials=row.id).update(
        lease_owner="other",
        lease_until=now + dt.timedelta(seconds=lasts),
        lease_renewed_at=now - dt.timedelta(seconds=renewed),
    )


def test_the_wait_for_a_dead_refresher_is_the_rest_of_its_lease(provider, grant):
    row = grant()
    lease_to_another(row, lasts=70, renewed=25)
    start = time.monotonic()
    error = request_token(row)
    assert 60 <= (error.retry_after or 0) <= 70
    assert "broke off" in error.detail
    # Nothing is gained by waiting here.
    assert time.monotonic() - start < services.MAX_WAIT_SECONDS / 2


def test_a_slow_provider_is_not_asked_about_every_second(provider, grant, monkeypatch):
    monkeypatch.setattr(services, "MAX_WAIT_SECONDS", 0.1)
    row = grant()
    lease_to_another(row, lasts=20, renewed=1)
    error = request_token(row)
    assert error.retry_after == 5
    assert "slow" in error.detail


def test_the_caller_of_a_slow_request_gets_the_same_wait(provider, grant, monkeypatch):
    def finish_at_once(call: ProviderCall, settle: Callable[[], object]) -> None:
        # The thread must not outlive the test: it would read another test's registry.
        call.future.exception(timeout=20)
        call.finish()

    monkeypatch.setattr(ProviderCall, "wait", lambda call, seconds: False)
    monkeypatch.setattr(ProviderCall, "hand_over", finish_at_once)
    assert request_token(grant()).retry_after == 5
