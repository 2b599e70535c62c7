"""Limits on calls that lead to a secret or a provider: per token, account and address."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command

from accounts import rate_limits
from accounts.models import Account, ApiToken, RateLimitOverride
from accounts.rate_limits import Quota, RateLimiter
from accounts.services import find_responsible_person
from events.models import Event
from tests.api import ApiClient
from tests.factories import make_app, make_credential, make_stripe_body, make_token

IMPORT = "/v1/credentials/import"


@pytest.fixture(autouse=True)
def _limits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RATE_LIMITS = True
    # Windows of an hour, so that no quota comes back while a slow test runs.
    for name, requests in (("import", 3), ("import_lines", 20), ("client_secret", 3)):
        monkeypatch.setitem(rate_limits.QUOTAS, name, Quota(requests, 3600))


@pytest.fixture
def token(account: Account) -> ApiClient:
    return ApiClient(make_token(account))


def import_lines(client: ApiClient, count: int = 1) -> Any:
    return client.post(IMPORT, [{} for _ in range(count)])


def test_a_token_beyond_its_quota_is_429_with_the_headers_of_the_draft(token: ApiClient) -> None:
    responses = [import_lines(token) for _ in range(4)]
    assert [each.status_code for each in responses] == [200, 200, 200, 429]
    last = responses[-1]
    assert last.json()["code"] == "rate_limited"
    assert 0 < int(last["Retry-After"]) <= 1200
    assert last["RateLimit-Policy"] == '"import";q=3;w=3600'
    assert last["RateLimit"] == f'"import";r=0;t={last["Retry-After"]}'
    assert responses[0]["RateLimit"].startswith('"import";r=2;')


def test_another_account_is_not_limited(token: ApiClient, other_account: Account) -> None:
    for _ in range(4):
        import_lines(token)
    other = ApiClient(make_token(other_account))
    assert import_lines(other).status_code == 200


def test_all_tokens_of_an_account_have_four_times_the_quota_of_one(account: Account) -> None:
    tokens = [ApiClient(make_token(account)) for _ in range(5)]
    statuses = [import_lines(each).status_code for each in tokens for _ in range(3)]
    assert statuses == [200] * 12 + [429] * 3


def test_lines_count_one_by_one(token: ApiClient) -> None:
    assert import_lines(token, 20).status_code == 200
    response = import_lines(token, 5)
    assert (response.status_code, response.json()["limit"]) == (429, "import_lines")


def test_a_list_has_no_limit_and_no_header(token: ApiClient, account: Account) -> None:
    make_credential(account, make_stripe_body())
    response = token.get("/v1/credentials")
    assert "RateLimit" not in response.headers


def test_without_the_setting_nothing_is_counted(token: ApiClient, settings: Any) -> None:
    settings.RATE_LIMITS = False
    assert {import_lines(token).status_code for _ in range(5)} == {200}


def test_an_override_of_a_token_counts_for_it_alone(account: Account) -> None:
    first, second = (ApiClient(make_token(account)) for _ in range(2))
    id = ApiToken.objects.order_by("created_at", "id")[0].id
    options = {"account": account.slug, "token": str(id)}
    call_command("set_rate_limit", "import", requests=5, **options)
    assert Event.objects.get(verb="token.rate_limit_changed").target_id == id
    assert [import_lines(first).status_code for _ in range(6)] == [200] * 5 + [429]
    assert [import_lines(second).status_code for _ in range(4)] == [200] * 3 + [429]
    call_command("set_rate_limit", "import", default=True, **options)
    assert not RateLimitOverride.objects.exists()


def test_an_override_of_an_account_counts_for_all_its_tokens(account: Account) -> None:
    call_command("set_rate_limit", "import", account=account.slug, requests=2)
    statuses = [import_lines(ApiClient(make_token(account))).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"requests": 0},
        {"requests": 5, "default": True},
        {"requests": 5, "token": "nonsense"},
        {"requests": 5, "token": str(uuid.uuid4())},
    ],
)
def test_the_command_rejects_invalid_options(account: Account, options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        call_command("set_rate_limit", "import", account=account.slug, **options)


def test_processes_with_a_cache_count_together(
    token: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "_LOCAL_CACHE", "another backend")
    cache.clear()
    for _ in range(3):
        import_lines(token)
    # Another process has counted nothing itself.
    rate_limits.rate_limiter.clear()
    assert import_lines(token).status_code == 429


def test_a_cache_that_is_down_stops_nothing(
    token: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(rate_limits, "_LOCAL_CACHE", "another backend")
    monkeypatch.setattr(cache, "incr", fail)
    assert [import_lines(token).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_guesses_of_a_client_secret_are_limited_and_recorded(account: Account) -> None:
    app = make_app(account, client_secret="right secret")
    body = {"client_id": str(app.id), "code": "nothing", "grant_type": "authorization_code"}
    guesses = ["a", "b", "c", "right secret", "d"]
    responses = [
        ApiClient().post("/link/oauth2/token", {**body, "client_secret": guess})
        for guess in guesses
    ]
    assert [each.status_code for each in responses] == [401, 401, 401, 429, 429]
    events = Event.objects.filter(verb="connect.refused", target_id=app.id)
    assert [event.changed for event in events] == [["invalid_client"]] * 3


def test_a_limiter_gives_back_what_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("accounts.rate_limits.time.monotonic", lambda: now)
    limiter, quota = RateLimiter(), Quota(4, 60)
    assert [limiter.consume("key", quota).remaining for _ in range(4)] == [3, 2, 1, 0]
    assert limiter.consume("key", quota) == (0, 15)
    now += 15
    assert limiter.consume("key", quota) == (0, 0)
    now += 60
    assert limiter.consume("key", quota, cost=100) == (0, 0)


def test_the_person_behind_a_token_of_a_command_is_the_token(account: Account) -> None:
    make_token(account)
    actor = f"token:{ApiToken.objects.get().id}"
    assert find_responsible_person(actor) == actor


def test_an_account_has_two_imports_at_once(token: ApiClient, account: Account) -> None:
    running = rate_limits.running_imports
    with running.acquire(account.id):
        assert import_lines(token).status_code == 200
        with running.acquire(account.id):
            response = import_lines(token)
    assert (response.status_code, response["Retry-After"]) == (429, "5")
    assert import_lines(token).status_code == 200
