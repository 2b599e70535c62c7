"""Policies: the allowed requests, their rate and their concurrency."""

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


def test_only_allowed_methods_are_forwarded(caller, path, policy, upstream):
    policy(methods=["GET", "HEAD"])
    assert caller.get(f"{path}/x").status == 200
    rejected = caller.send("DELETE", f"{path}/x")
    assert (rejected.status, rejected.json()["code"]) == (403, "not_allowed")
    assert [request.method for request in upstream.requests] == ["GET"]


def test_header_does_not_override_the_method(caller, path, policy, upstream):
    policy(methods=["GET"])
    headers = {"X-HTTP-Method-Override": "DELETE"}
    assert caller.get(f"{path}/x", headers=headers).status == 403
    assert upstream.requests == []


def test_only_allowed_paths_are_forwarded(caller, path, policy):
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
def test_path_must_be_allowed_written_and_decoded(path, allowed):
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
def test_endpoint_is_blocked_in_every_encoding(method, path, blocked):
    assert is_endpoint_blocked(method, path, ["DELETE /v1/things/*", "* /admin"]) is blocked


def test_rate_is_enforced(caller, path, policy):
    policy(rate_limit={"requests": 3, "seconds": 3600})
    assert [caller.get(f"{path}/status?code=200").status for _ in range(3)] == [200] * 3
    rejected = caller.get(f"{path}/status?code=200")
    assert (rejected.status, rejected.json()["code"]) == (429, "rate_limited")
    assert 1000 < int(rejected.header("Retry-After")) <= 1201


def test_slightly_early_request_waits(row):
    rate = Rate(5, 1)
    began = time.monotonic()
    for _ in range(6):
        consume_rate(row.id, rate)
    assert time.monotonic() - began > 0.1


def test_concurrency_is_limited(row):
    slots = ConcurrencySlots()
    with slots.acquire(row.id, 1), pytest.raises(TooManyRequestsError), slots.acquire(row.id, 1):
        pass
    with slots.acquire(row.id, 1):
        pass


def test_pause_of_the_provider_is_enforced(caller, path, upstream):
    assert caller.get(f"{path}/status?code=429&Retry-After=30").status == 429
    rejected = caller.get(f"{path}/status?code=200")
    assert (rejected.status, rejected.json()["code"]) == (429, "provider_rate_limited")
    assert 25 <= int(rejected.header("Retry-After")) <= 30
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_pause_may_be_a_date(caller, path, upstream, status):
    at = quote(email.utils.formatdate(time.time() + 30, usegmt=True))
    assert caller.get(f"{path}/status?code={status}&Retry-After={at}").status == status
    rejected = caller.get(f"{path}/status?code=200")
    assert (rejected.status, rejected.json()["code"]) == (429, "provider_rate_limited")
    assert 20 <= int(rejected.header("Retry-After")) <= 30
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "query",
    [
        "code=429",
        "code=429&Retry-After=soon",
        "code=429&Retry-After=0",
        "code=503&Retry-After=Sun,%2006%20Nov%201994%2008:49:37%20GMT",
        "code=200&Retry-After=30",
    ],
)
def test_invalid_retry_after_is_ignored(caller, path, query):
    caller.get(f"{path}/status?{query}")
    assert caller.get(f"{path}/status?code=200").status == 200


def test_longer_of_two_pauses_applies(caller, path, row):
    pause_credential(row.id, 60)
    pause_credential(row.id, 5)
    assert int(caller.get(f"{path}/status?code=200").header("Retry-After")) > 50


def test_short_pause_delays_the_request(caller, path, row, upstream):
    began = time.monotonic()
    pause_credential(row.id, 0.3)
    assert caller.get(f"{path}/status?code=200").status == 200
    assert time.monotonic() - began > 0.2


def test_policy_over_the_api(api, row):
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
def test_invalid_policy_is_422(api, row, body, field):
    response = api.send("PUT", f"/v1/credentials/{row.id}/policy", body)
    assert response.status_code == 422, response.json()
    assert field in response.json()["validation_errors"]


def test_policy_of_another_account_is_404(other_api, row):
    url = f"/v1/credentials/{row.id}/policy"
    assert other_api.get(url).status_code == 404
    assert other_api.send("PUT", url, {}).status_code == 404
