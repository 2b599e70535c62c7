"""POST /report: a caller's rejection counts only if a probe confirms it."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.health.models import ProbeState
from credentials.models import Credential
from tests.api import ApiClient

pytestmark = pytest.mark.django_db


def send_report(api: ApiClient, row: Credential, status: int = 401) -> Any:
    answer = api.post(f"/v1/credentials/{row.id}/report", {"status": status})
    assert answer.status_code == 200, answer.content
    return answer.json()["health"]


def test_false_report_changes_nothing(api, key, stripe):
    assert send_report(api, key)["status"] == "ok"
    assert len(stripe.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_true_report_is_error_at_once(api, key, stripe, status):
    stripe.say(401)
    assert send_report(api, key, status)["status"] == "error"


@pytest.mark.parametrize("status", [200, 404, 429, 500])
def test_unclear_report_is_only_noted(api, key, stripe, status):
    health = send_report(api, key, status)
    assert health["status"] == "unknown"
    assert health["notes"] == [f"A caller got HTTP {status} from the provider."]
    assert stripe.requests == []


def test_reports_beyond_limit_are_probed_by_worker(api, key, stripe):
    for _ in range(11):
        send_report(api, key)
    assert len(stripe.requests) == 10
    state = ProbeState.objects.get()
    assert state.urgent
    assert state.answered_at
    assert (state.next_at - state.answered_at).total_seconds() == 30


@pytest.mark.parametrize(
    "body",
    [{}, {"status": "401"}, {"status": True}, {"status": 99}, {"status": 600}, {"status": 401.0},
     {"status": None}, {"status": 401, "body": "x"}],
    ids=["empty", "text", "bool", "small", "big", "float", "null", "more"],
)  # fmt: skip
def test_invalid_status_is_rejected(api, key, stripe, body):
    answer = api.post(f"/v1/credentials/{key.id}/report", body)
    assert answer.status_code == 422
    assert stripe.requests == []


def test_history_is_newest_first(api, key, stripe):
    stripe.say(401)
    send_report(api, key)
    stripe.say(200)
    send_report(api, key)
    path = f"/v1/credentials/{key.id}/health-changes"
    listed = api.get(path).json()["data"]
    assert [(row["before"], row["after"]) for row in listed] == [
        ("error", "ok"),
        ("unknown", "error"),
    ]
    assert listed[1]["source"] == "probe"
    assert listed[1]["code"] == "http_401"
    first = api.get(f"{path}?limit=1").json()
    assert len(first["data"]) == 1
    assert api.get(f"{path}?cursor={first['next_cursor']}").json()["data"] == listed[1:]


def test_other_accounts_history_is_404(other_api, key):
    assert other_api.get(f"/v1/credentials/{key.id}/health-changes").status_code == 404
