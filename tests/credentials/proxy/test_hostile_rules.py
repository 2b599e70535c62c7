"""Attempts of a caller to get past the rules of a credential."""

from __future__ import annotations

import pytest

from credentials.proxy.path_rules import overrides_method
from credentials.proxy.policy import policy_set
from tests.credentials.proxy.conftest import KEY
from tests.factories import TESTER, make_credential


@pytest.mark.parametrize(
    ("query", "does"),
    [
        ("_HttpMethod=DELETE", True),
        ("a=1&%5fmethod=delete", True),
        ("a=1;_METHOD=PUT", True),
        ("method=delete", True),
        ("$httpMethod=PATCH", True),
        ("_method[]=DELETE", True),
        ("_method[0]=DELETE", True),
        ("_method=DELETE%20", True),
        ("%20_method=%09delete", True),
        ("http.method=DELETE", True),
        ("X-HTTP-Method-Override=DELETE", True),
        ("x_http_method=DELETE", True),
        ("method_of_payment=DELETE", False),
        ("_method=POST", False),
        ("method=flickr.test.echo", False),
        ("a=DELETE", False),
        ("", False),
    ],
)
def test_finds_parameters_that_override_the_method(query, does):
    assert overrides_method("POST", query) is does


def test_parameter_does_not_override_the_method(caller, path, row, account, upstream):
    policy_set(account_id=account.id, id=row.id, actor=TESTER, policy={"methods": ["POST"]})
    assert caller.send("POST", f"{path}/x?_HttpMethod=DELETE").status == 403
    assert upstream.requests == []
    assert caller.send("POST", f"{path}/x?method=list").status == 200


@pytest.mark.parametrize(
    "name", ["X-HTTP-Verb", "X-Method", "X-Original-Method", "X-HTTP-Method-Override"]
)
def test_header_does_not_override_the_method(caller, path, row, account, upstream, name):
    policy_set(account_id=account.id, id=row.id, actor=TESTER, policy={"methods": ["POST"]})
    assert caller.send("POST", f"{path}/x", headers={name: "DELETE"}).status == 403
    assert upstream.requests == []


def test_method_parameter_is_forwarded_without_rules(caller, path):
    assert caller.send("POST", f"{path}/x?_HttpMethod=DELETE").status == 200


@pytest.mark.parametrize("separator", ["&", ";"])
def test_callers_query_cannot_have_the_credentials_parameter(
    caller, create_credential, upstream, separator
):
    row = create_credential("upquery_key", key=KEY)
    target = f"/v1/proxy/credential/{row.id}/x?a=1{separator}api%5Fkey=2"
    assert caller.get(target).status == 400
    assert upstream.requests == []


@pytest.fixture
def key_halves(account):
    """The older half of a Binance key, and the newer one."""
    return [
        make_credential(
            account, {"properties": {"kind": "binance_part_key", "name": name, "key": "k" * 64}}
        )
        for name in ("api_secret", "api_key")
    ]


@pytest.mark.parametrize("half", [0, 1], ids=["older", "newer"])
@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        ({"methods": ["POST"]}, [403, 403]),
        ({"paths": ["/api/v3/order"]}, [403, 403]),
        ({"rate_limit": {"requests": 1, "seconds": 3600}}, [200, 429]),
    ],
    ids=["methods", "paths", "rate"],
)
def test_policies_of_both_halves_apply(trader, account, key_halves, half, policy, statuses):
    policy_set(account_id=account.id, id=key_halves[half].id, actor=TESTER, policy=policy)
    target = "/proxy/binance/api/v3/account"
    assert [trader.get(target).status for _ in range(2)] == statuses


def test_form_too_long_for_a_query_is_414(trader, key_halves, binance):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = trader.send(
        "POST", "/proxy/binance/api/v3/order", b"symbol=" + b"x" * 9000, headers=headers
    )
    assert response.status == 414
    assert binance.requests == []


@pytest.mark.parametrize(
    "query",
    [
        "symbol=%zz&a=%",
        "symbol=%00%0d%0aX:1",
        "a;b=c",
        "symbol=%ff%fe",
        "=x&&a=",
        "SIGNATURE=x&Timestamp=1",
    ],
)
def test_unusual_parameters_are_signed_as_sent(trader, key_halves, binance, query):
    assert trader.get(f"/proxy/binance/api/v3/account?{query}").status == 200
    sent = binance.requests[0].target
    assert sent.startswith("/api/v3/account?")
    assert sent.count("&signature=") == 1
    assert all(" " < char < "\x7f" for char in sent)
