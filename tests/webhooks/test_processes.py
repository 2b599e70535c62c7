"""Real processes: killed at the worst time, and two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection

from oauth_apps.services import oauth_app_update
from tests.factories import TESTER, make_account, make_app
from tests.webhooks.conftest import make_endpoint
from tests.webhooks.work import enqueue, get_only_delivery, run_worker
from webhooks.models import WebhookDelivery

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


def database() -> str:
    """The test database, for a process of its own."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{Path(name).resolve()}"
    server, _, _ = os.environ["TEST_DATABASE_URL"].rpartition("/")
    return f"{server}/{name}"


def process(step: str, allowed: str, owner: str = "child") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.webhooks.process", step, owner],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_URL": database(),
            "EGRESS_ALLOW": allowed,
        },
        stdout=subprocess.PIPE,
        text=True,
    )


def run_until_killed(step: str, allowed: str) -> None:
    child = process(step, allowed)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL


def test_killed_between_commit_and_send_loses_nothing(receiver, shift):
    account = make_account()
    app = make_app(account)
    make_endpoint(account, receiver)
    oauth_app_update(account_id=account.id, id=app.id, actor=TESTER, changes={"name": "New"})
    run_until_killed("die_before_sending", receiver.allowed)
    assert receiver.requests == []
    assert run_worker() == 0  # The dead worker's lease.
    shift(61)
    assert run_worker() == 1
    (request,) = receiver.requests
    assert (request.payload["type"], request.target) == ("oauth_app.updated", str(app.id))
    assert get_only_delivery().state == "delivered"


def test_killed_between_send_and_settling_sends_again_by_the_same_id(receiver, shift):
    account = make_account()
    make_endpoint(account, receiver)
    enqueue(account)
    run_until_killed("die_before_settling", receiver.allowed)
    assert len(receiver.requests) == 1
    shift(61)
    assert run_worker() == 1
    first, second = receiver.requests
    assert (first.id, first.body) == (second.id, second.body)
    assert first.id == str(get_only_delivery().message_id)


def test_ten_killed_workers_use_up_no_attempt(receiver, shift):
    account = make_account()
    make_endpoint(account, receiver)
    enqueue(account)
    child = process("die_ten_times", receiver.allowed)
    output, _ = child.communicate(timeout=60)
    assert output.split() == [str(-signal.SIGKILL)] * 10
    assert len(receiver.requests) == 10
    assert get_only_delivery().attempts == 0
    receiver.status = 500
    assert run_worker() == 1
    delivery = get_only_delivery()
    # The first answer that was received is the first attempt: nine more follow over three days.
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("pending", 1, 500)


def test_two_workers_never_send_one_delivery_twice(receiver):
    account = make_account()
    make_endpoint(account, receiver)
    make_endpoint(account, receiver)
    receiver.seconds = 0.01
    for _ in range(60):
        enqueue(account)
    workers = [process("work", receiver.allowed, f"w{number}") for number in range(2)]
    counts = [int(worker.communicate(timeout=120)[0]) for worker in workers]
    while run_worker():
        pass  # What a worker saw as taken, and left, when it ended.
    assert all(counts)
    sent = Counter(
        (request.id, request.headers["webhook-signature"]) for request in receiver.requests
    )
    assert len(receiver.requests) == 120
    assert set(sent.values()) == {1}
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert set(WebhookDelivery.objects.values_list("attempts", flat=True)) == {1}
