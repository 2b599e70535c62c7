"""One key in concurrent threads and in a killed process, with real transactions."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts import idempotency
from accounts.models import IdempotencyRecord
from common.db.clock import DbNow
from credentials import services
from credentials.models import Credential
from tests.accounts.sending import DAY_SECONDS, IDEMPOTENT_PATHS, is_replayed, post_with_key
from tests.api import ApiClient
from tests.factories import make_account, make_endpoint_body, make_stripe_body, make_token
from tests.threads import run_concurrently
from tests.webhooks.test_processes import database
from vault.services import clear_index_key_cache, get_index_key
from webhooks import services as hooks

THREADS = 20
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture
def api() -> ApiClient:
    clear_index_key_cache()  # That of an earlier test is not in the database any more.
    get_index_key()
    return ApiClient(make_token(make_account()))


@pytest.fixture(autouse=True)
def _long_lease(monkeypatch):
    """Let no lease expire on a busy machine."""
    monkeypatch.setattr(idempotency, "LEASE", dt.timedelta(seconds=60))


def outcome(response: Any) -> str:
    if response.status_code == 409:
        assert response["Retry-After"] == "1"
        return "running"
    assert response.status_code in {200, 201}, response.content
    return "replayed" if is_replayed(response) else "run"


@pytest.mark.parametrize("path", IDEMPOTENT_PATHS)
def test_twenty_concurrent_requests_run_once(api, path):
    make, model = IDEMPOTENT_PATHS[path]
    body = make()
    answers = run_concurrently(lambda _: post_with_key(ApiClient(api.token), path, body), THREADS)
    found = Counter(outcome(response) for response in answers)
    assert found["run"] == 1
    assert found.total() == THREADS
    assert model.objects.count() == IdempotencyRecord.objects.count() == 1
    assert len({a.content for a in answers if a.status_code != 409}) == 1


def test_of_twenty_bodies_under_one_key_one_is_stored(api):
    answers = run_concurrently(
        lambda _: post_with_key(ApiClient(api.token), "/v1/credentials", make_stripe_body()),
        THREADS,
    )
    assert Counter(a.status_code for a in answers) == {200: 1, 422: THREADS - 1}
    assert Credential.objects.count() == 1


def test_expired_key_is_claimed_by_one_request(api, settings):
    post_with_key(api, "/v1/credentials", make_stripe_body())
    settings.CLOCK_SHIFT_SECONDS = DAY_SECONDS + 1
    body = make_stripe_body()
    answers = run_concurrently(
        lambda _: post_with_key(ApiClient(api.token), "/v1/credentials", body), THREADS
    )
    assert Counter(outcome(response) for response in answers)["run"] == 1
    assert IdempotencyRecord.objects.count() == 1


def test_concurrent_deletion_removes_no_claim(api, settings):
    for number in range(THREADS):
        post_with_key(api, "/v1/credentials", make_stripe_body(), key=f"k-{number}")
    settings.CLOCK_SHIFT_SECONDS = DAY_SECONDS + 1

    def work(number: int) -> Any:
        if number % 2:
            return idempotency.delete_expired_records(5)
        return post_with_key(
            ApiClient(api.token), "/v1/credentials", make_stripe_body(), key=f"k-{number}"
        )

    answers = run_concurrently(work, THREADS)[::2]
    assert {response.status_code for response in answers} == {200}
    while idempotency.delete_expired_records(5):
        pass
    assert IdempotencyRecord.objects.count() == len(answers)


def test_a_request_that_takes_longer_than_its_lease_leaves_one_effect(api, monkeypatch, settings):
    """The second request can overtake only if its write does not wait for the first."""
    if connection.vendor == "sqlite":
        pytest.skip("one write at a time")
    body, overtaking = make_stripe_body(), []
    do = services.credential_import

    def slow(**more: Any) -> Any:
        monkeypatch.setattr(services, "credential_import", do)
        found = do(**{**more, "body": make_stripe_body("sk_live_slow")})
        settings.CLOCK_SHIFT_SECONDS = 61
        with ThreadPoolExecutor(1) as pool:
            overtaking.append(pool.submit(in_thread).result())
        return found

    def in_thread() -> Any:
        try:
            return post_with_key(ApiClient(api.token), "/v1/credentials", body)
        finally:
            connection.close()

    monkeypatch.setattr(services, "credential_import", slow)
    late = post_with_key(api, "/v1/credentials", body)
    assert late.status_code == 503
    assert [response.status_code for response in overtaking] == [200]
    assert str(Credential.objects.get().id) == overtaking[0].json()["id"]
    assert post_with_key(api, "/v1/credentials", body).content == overtaking[0].content


def test_no_transaction_waits_for_a_name_server(api, monkeypatch):
    seen = []
    monkeypatch.setattr(hooks, "check_url", lambda _: seen.append(connection.in_atomic_block))
    assert post_with_key(api, "/v1/webhook-endpoints", make_endpoint_body()).status_code == 201
    assert seen == [False]


def killed(point: str, token: str, body: bytes) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.accounts.process", point, token, body.decode()],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_URL": database(),
        },
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", ["before_work", "after_work"])
def test_kill_before_the_commit_has_no_effect_and_a_retry_succeeds(api, settings, point):
    body = json.dumps(make_stripe_body()).encode()
    killed(point, api.token, body)
    assert not Credential.objects.exists()
    # The process has claimed it for less time than a busy machine may take until here.
    IdempotencyRecord.objects.update(held_until=DbNow() + dt.timedelta(seconds=60))
    assert post_with_key(api, "/v1/credentials", body).status_code == 409
    settings.CLOCK_SHIFT_SECONDS = 61
    response = post_with_key(api, "/v1/credentials", body)
    assert (response["Latchkey-Import"], is_replayed(response)) == ("created", False)


def test_kill_after_the_commit_leaves_the_response(api):
    body = json.dumps(make_stripe_body()).encode()
    killed("after_commit", api.token, body)
    response = post_with_key(api, "/v1/credentials", body)
    assert (response["Latchkey-Import"], is_replayed(response)) == ("created", True)
    assert Credential.objects.count() == 1
