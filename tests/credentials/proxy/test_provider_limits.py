"""Documented limits of providers: no interval of their length has more requests than allowed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from common.actors import Principal
from common.errors import TooManyRequestsError
from credentials.proxy import limits
from credentials.proxy.limits import Rate
from credentials.proxy.models import Window
from credentials.proxy.policy import policy_set
from credentials.proxy.provider_limits import (
    ProviderLimit,
    consume_provider_limits,
    parts_until_free,
)
from credentials.proxy.resolve import resolve_credential
from credentials.proxy.target import parse_target
from events.models import Event
from tests.factories import TESTER


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAIT_SECONDS", 0)


@pytest.fixture
def consume_at(row: Any, settings: Any, no_waiting: None) -> Callable[..., bool]:
    """Return whether one more request is allowed, `at` seconds from now."""

    def one(at: int, *rates: Rate) -> bool:
        settings.CLOCK_SHIFT_SECONDS = at
        try:
            consume_provider_limits(row.id, rates)
        except TooManyRequestsError:
            return False
        return True

    return one


def test_burst_uses_the_whole_window(consume_at):
    window = Rate(5, 900)
    assert [consume_at(0, window) for _ in range(6)] == [True] * 5 + [False]
    assert not consume_at(890, window)
    assert [consume_at(1001, window) for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("seed", range(3))
def test_no_interval_exceeds_the_limit(consume_at, seed):
    chance = random.Random(seed)  # noqa: S311  no secret
    window = Rate(7, 90)
    at, sent = 0, []
    for _ in range(80):
        at += chance.choice([0, 0, 0, 1, 2, 5, 40])
        if consume_at(at, window):
            sent.append(at)
    most = max(sum(first <= each < first + 90 for each in sent) for first in sent)
    assert most <= 7
    assert len(sent) > at / 90 * 7 * 0.5


def test_retry_after_says_when_one_more_fits(row, settings, no_waiting):
    for _ in range(2):
        consume_provider_limits(row.id, [Rate(2, 900)])
    with pytest.raises(TooManyRequestsError) as refused:
        consume_provider_limits(row.id, [Rate(2, 900)])
    assert refused.value.extra == {"code": "provider_rate_limited"}
    wait = refused.value.retry_after or 0
    assert 900 <= wait <= 1001
    settings.CLOCK_SHIFT_SECONDS = wait
    consume_provider_limits(row.id, [Rate(2, 900)])


def test_several_limits_apply_together(consume_at):
    both = (Rate(2, 90), Rate(3, 9000))
    assert [consume_at(0, *both) for _ in range(3)] == [True, True, False]
    assert [consume_at(101, *both) for _ in range(2)] == [True, False]
    assert not consume_at(500, *both)
    assert consume_at(500, Rate(2, 90))


def test_each_credential_has_its_own_counters(consume_at, create_credential):
    assert [consume_at(0, Rate(1, 900)) for _ in range(2)] == [True, False]
    consume_provider_limits(create_credential(key="another_key_0123456789").id, [Rate(1, 900)])


def test_counters_are_deleted_with_the_credential(consume_at, row):
    assert consume_at(0, Rate(1, 900))
    assert Window.objects.filter(credential=row).count() == 1
    row.delete()
    assert not Window.objects.exists()


def test_clock_that_goes_back_frees_nothing(consume_at):
    assert consume_at(500, Rate(1, 900))
    assert not consume_at(0, Rate(1, 900))
    assert not consume_at(1300, Rate(1, 900))


@pytest.mark.parametrize(
    ("now", "used", "free"),
    [
        (100.25, {0: 3}, 9.75),
        (105.0, {0: 3}, 5.0),
        (105.0, {0: 2, 4: 1}, 5.0),
        (105.0, {5: 3}, 10.0),
        (115.0, {0: 3}, 0.0),
    ],
)
def test_time_until_one_more_fits(now, used, free):
    """For three requests in nine ninths. The newest slot is 100, or at 105 the last that was used."""
    slot = 100 + max(used)
    assert parts_until_free(3, slot, now, [used.get(at, 0) for at in range(10)]) == pytest.approx(
        free
    )


def test_slightly_early_request_waits(row, monkeypatch):
    slept: list[float] = []
    responses = iter([False, False, True])
    monkeypatch.setattr(ProviderLimit, "consume", lambda _: next(responses))
    monkeypatch.setattr(ProviderLimit, "get_wait", lambda _: 0.5)
    monkeypatch.setattr(limits, "sleep", slept.append)
    consume_provider_limits(row.id, [Rate(1, 1)])
    assert slept == [0.5, 0.5]


@pytest.fixture
def limited_credential(create_credential: Callable[..., Any]) -> Any:
    return create_credential("upslow_key")


def get(caller: Any, row: Any) -> Any:
    return caller.get(f"/v1/proxy/credential/{row.id}/status?code=200")


def test_documented_limit_is_enforced(caller, limited_credential, upstream):
    assert [get(caller, limited_credential).status for _ in range(3)] == [200] * 3
    refused = get(caller, limited_credential)
    assert (refused.status, refused.json()["code"]) == (429, "provider_rate_limited")
    assert 800 < int(refused.header("Retry-After")) <= 1000
    assert len(upstream.requests) == 3
    assert Event.objects.filter(verb="credential.used").count() == 3


@pytest.mark.parametrize(
    ("requests", "code"), [(2, "rate_limited"), (100, "provider_rate_limited")]
)
def test_stricter_of_policy_and_provider_applies(
    caller, limited_credential, account, requests, code
):
    rate = {"rate_limit": {"requests": requests, "seconds": 900}}
    policy_set(account_id=account.id, id=limited_credential.id, actor=TESTER, policy=rate)
    assert [get(caller, limited_credential).status for _ in range(min(requests, 3))] == [200] * min(
        requests, 3
    )
    assert get(caller, limited_credential).json()["code"] == code


@pytest.mark.parametrize(("concurrency", "at_once"), [(None, 2), (1, 1), (50, 2)])
def test_stricter_concurrency_applies(limited_credential, account, concurrency, at_once):
    if concurrency:
        policy = {"concurrency": concurrency}
        policy_set(account_id=account.id, id=limited_credential.id, actor=TESTER, policy=policy)
    assert resolve(limited_credential).max_concurrency == at_once


def test_only_enforced_limits_of_the_kind_apply(limited_credential, row):
    assert resolve(limited_credential).provider_rates == [Rate(5, 90), Rate(3, 900)]
    assert (resolve(row).provider_rates, resolve(row).max_concurrency) == ([], None)


def resolve(row: Any) -> Any:
    who = Principal(
        account_id=row.account_id,
        actor=TESTER,
        scopes=frozenset(),
        bearer_id=uuid.uuid4(),
        is_session=False,
    )
    return resolve_credential(parse_target(f"/v1/proxy/credential/{row.id}/x"), who)
