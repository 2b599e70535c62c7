"""POST /report: what a caller met is looked into, and believed only then."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.health.models import ProbeState
from credentials.models import Credential
from tests.api import ApiClient

pytestmark = pytest.mark.django_db


def report(api: ApiClient, row: Credential, status: int = 401) -> Any:
    answer = api.post(f"/v1/credentials/{row.id}/report", {"status": status})
    assert answer.status_code == 200, answer.content
    return answer.json()["health"]


def test_a_false_alarm_changes_nothing(api, key, stripe):
    assert report(api, key)["status"] == "ok"
    assert len(stripe.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_true_one_is_an_error_at_once(api, key, stripe, status):
    stripe.say(401)
    assert report(api, key, status)["status"] == "error"


@pytest.mark.parametrize("status", [200, 404, 429, 500])
def test_what_says_nothing_of_the_credential_is_a_note(api, key, stripe, status):
    health = report(api, key, status)
    assert health["status"] == "unknown"
    assert health["notes"] == [f"A caller got HTTP {status} from the provider."]
    assert stripe.requests == []


def test_reports_beyond_the_limit_are_left_to_the_worker(api, key, stripe):
    for _ in range(11):
        report(api, key)
    assert len(stripe.requests) == 10
    assert ProbeState.objects.get().urgent


@pytest.mark.parametrize(
    "body",
    [{}, {"status": "401"}, {"status": True}, {"status": 99}, {"status": 600}, {"status": 401.0},
     {"status": None}, {"status": 401, "body": "x"}],
    ids=["empty", "text", "bool", "small", "big", "float", "null", "more"],
)  # fmt: skip
def test_what_is_no_status_is_refused(api, key, stripe, body):
    answer = api.post(f"/v1/credentials/{key.id}/report", body)
    assert answer.status_code == 422
    assert stripe.requests == []


def test_the_history_is_listed_newest_first(api, key, stripe):
    stripe.say(401)
    report(api, key)
    stripe.say(200)
    report(api, key)
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


def test_the_history_of_another_account_is_not_there(other_api, key):
    assert other_api.get(f"/v1/credentials/{key.id}/health-changes").status_code == 404
