"""Policies: what may be done with a credential, how often, and how many at once."""

from __future__ import annotations

import email.utils
import time
from urllib.parse import quote

import pytest

from common.errors import TooManyRequestsError
from credentials.proxy.limits import ConcurrencySlots, Rate, consume_rate, pause_credential
from credentials.proxy.path_rules import is_endpoint_blocked, is_path_allowed
from credentials.proxy.policy import policy_set
from events.models import Event
from tests.factories import TESTER


@pytest.fixture
def policy(row, account):
    return lambda **wanted: policy_set(
        account_id=account.id, id=row.id, actor=TESTER, policy=wanted
    )


def test_only_the_allowed_methods_pass(caller, path, policy, upstream):
    policy(methods=["GET", "HEAD"])
    assert caller.get(f"{path}/x").status == 200
    refused = caller.send("DELETE", f"{path}/x")
    assert (refused.status, refused.json()["code"]) == (403, "not_allowed")
    assert [request.method for request in upstream.requests] == ["GET"]


def test_a_header_does_not_change_the_method(caller, path, policy, upstream):
    policy(methods=["GET"])
    headers = {"X-HTTP-Method-Override": "DELETE"}
    assert caller.get(f"{path}/x", headers=headers).status == 403
    assert upstream.requests == []


def test_only_the_allowed_paths_pass(caller, path, policy):
    policy(paths=["/status", "/status/*"])
    assert caller.get(f"{path}/status?code=200").status == 200
    assert caller.get(f"{path}/status/a?code=200").status == 200
    assert caller.get(f"{path}/statuses").status == 403
    assert caller.get(f"{path}/echo").status == 403


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/charges", True),
        ("/v1/charges/ch_1/refunds", True),
        ("/v1/%63harges/1", False),
        ("/v1/customers", False),
        ("/x/v1/charges", False),
    ],
)
def test_a_path_is_allowed_as_written_and_as_read(path, allowed):
    assert is_path_allowed(path, ["/v1/charges", "/v1/charges/*"]) is allowed


@pytest.mark.parametrize(
    ("method", "path", "blocked"),
    [
        ("DELETE", "/v1/things/1", True),
        ("GET", "/v1/things/1", False),
        ("DELETE", "/v1/th%69ngs/1", True),
        ("DELETE", "/v1//things/1", True),
        ("POST", "/admin", True),
    ],
)
def test_an_endpoint_is_blocked_however_it_is_written(method, path, blocked):
    assert is_endpoint_blocked(method, path, ["DELETE /v1/things/*", "* /admin"]) is blocked


def test_a_rate_is_kept_to(caller, path, policy):
    policy(rate_limit={"requests": 3, "seconds": 3600})
    assert [caller.get(f"{path}/status?code=200").status for _ in range(3)] == [200] * 3
    refused = caller.get(f"{path}/status?code=200")
    assert (refused.status, refused.json()["code"]) == (429, "rate_limited")
    assert 1000 < int(refused.header("Retry-After")) <= 1201


def test_who_is_a_little_early_waits(row):
    rate = Rate(5, 1)
    began = time.monotonic()
    for _ in range(6):
        consume_rate(row.id, rate)
    assert 0.1 < time.monotonic() - began < 1


def test_no_more_than_so_many_at_once(row):
    slots = ConcurrencySlots()
    with slots.acquire(row.id, 1), pytest.raises(TooManyRequestsError), slots.acquire(row.id, 1):
        pass
    with slots.acquire(row.id, 1):
        pass


def test_a_providers_pause_is_kept_to(caller, path, upstream):
    assert caller.get(f"{path}/status?code=429&Retry-After=30").status == 429
    refused = caller.get(f"{path}/status?code=200")
    assert (refused.status, refused.json()["code"]) == (429, "provider_rate_limited")
    assert 25 <= int(refused.header("Retry-After")) <= 30
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_may_be_told_as_a_date(caller, path, upstream, status):
    at = quote(email.utils.formatdate(time.time() + 30, usegmt=True))
    assert caller.get(f"{path}/status?code={status}&Retry-After={at}").status == status
    refused = caller.get(f"{path}/status?code=200")
    assert (refused.status, refused.json()["code"]) == (429, "provider_rate_limited")
    assert 20 <= int(refused.header("Retry-After")) <= 30
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "asked",
    [
        "code=429",
        "code=429&Retry-After=soon",
        "code=429&Retry-After=0",
        "code=503&Retry-After=Sun,%2006%20Nov%201994%2008:49:37%20GMT",
        "code=200&Retry-After=30",
    ],
)
def test_what_asks_for_no_pause_gets_none(caller, path, asked):
    caller.get(f"{path}/status?{asked}")
    assert caller.get(f"{path}/status?code=200").status == 200


def test_of_two_pauses_the_longer_holds(caller, path, row):
    pause_credential(row.id, 60)
    pause_credential(row.id, 5)
    assert int(caller.get(f"{path}/status?code=200").header("Retry-After")) > 50


def test_a_short_pause_is_waited_out(caller, path, row, upstream):
    pause_credential(row.id, 0.3)
    began = time.monotonic()
    assert caller.get(f"{path}/status?code=200").status == 200
    assert time.monotonic() - began > 0.2


def test_the_policy_of_a_credential_over_the_api(api, row):
    url = f"/v1/credentials/{row.id}/policy"
    none = {"methods": None, "paths": None, "rate_limit": None, "concurrency": None}
    assert api.get(url).json() == none
    wanted = {**none, "methods": ["GET"], "rate_limit": {"requests": 5, "seconds": 60}}
    assert api.send("PUT", url, wanted).json() == wanted
    assert api.get(url).json() == wanted
    event = Event.objects.get(verb="credential.policy_updated")
    assert event.changed == ["methods", "rate_limit"]
    assert api.send("PUT", url, {}).json() == none


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"methods": ["get"]}, "methods.0"),
        ({"methods": "GET"}, "methods"),
        ({"methods": [1]}, "methods.0"),
        ({"paths": ["v1"]}, "paths.0"),
        ({"paths": ["/a b"]}, "paths.0"),
        ({"rate_limit": {"requests": 1}}, "rate_limit.seconds"),
        ({"rate_limit": {"requests": "1", "seconds": 1}}, "rate_limit.requests"),
        ({"rate_limit": {"requests": 0, "seconds": 1}}, "rate_limit.requests"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_no_policy_is_422(api, row, body, field):
    answer = api.send("PUT", f"/v1/credentials/{row.id}/policy", body)
    assert answer.status_code == 422, answer.json()
    assert field in answer.json()["validation_errors"]


def test_another_accounts_policy_is_not_there(other_api, row):
    url = f"/v1/credentials/{row.id}/policy"
    assert other_api.get(url).status_code == 404
    assert other_api.send("PUT", url, {}).status_code == 404
