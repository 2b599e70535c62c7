"""Authorization responses that are rejected and connect nothing."""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest

from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    assert_is_page,
    build_callback_path,
    is_nothing_connected,
    list_event_verbs,
    list_failure_codes,
    parse_query,
    start_flow,
)
from tests.factories import make_app

pytestmark = pytest.mark.usefixtures("reset_counters")


@pytest.mark.parametrize("name", ["state", "code"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_callback_requires_state_and_code(browser, app, alpha, name, value):
    response = browser.open(alpha.approve(start_flow(browser, app), **{name: value}))
    assert response.status_code == 400
    assert_is_page(response)
    assert is_nothing_connected()
    assert list_event_verbs()[-1] in {"connect.refused", "connect.failed"}


@pytest.mark.parametrize("name", ["state", "code", "iss", "error", "error_description", "realmId"])
def test_callback_rejects_repeated_parameter(browser, app, alpha, name):
    address = alpha.approve(start_flow(browser, app))
    value = parse_query(address).get(name, "x")
    twice = f"{address}&{name}={quote(value)}"
    response = browser.open(twice if name in parse_query(address) else f"{twice}&{name}=y")
    assert response.status_code == 400
    assert is_nothing_connected()
    assert list_event_verbs()[-1] == "connect.refused"
    assert not alpha.token_calls


@pytest.mark.parametrize("state", ["x", "s" * 43, "../..", "%00", "s" * 4097, "' OR 1=1 --"])
def test_unknown_state_is_rejected(browser, app, alpha, state):
    start_flow(browser, app)
    response = browser.open(build_callback_path(app, state=state, code="code-1"))
    assert response.status_code == 400
    assert_is_page(response)
    assert state.encode() not in response.content or state == "x"
    assert list_event_verbs()[-1] == "connect.refused"


def test_state_works_once(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    assert browser.open(address).status_code == 303
    response = Browser().open(address)
    assert response.status_code == 400
    assert b"already done" in response.content
    assert RETURN.encode() not in response.content
    assert len(alpha.token_calls) == 1
    assert list_failure_codes() == ["state_used"]


def test_wrong_code_uses_up_state(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    wrong = address.replace("code=code", "code=stolen")
    assert browser.open(wrong).status_code == 400
    assert browser.open(address).status_code == 400
    assert is_nothing_connected()


def test_state_expires_after_ten_minutes(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    settings.CLOCK_SHIFT_SECONDS = 601
    response = browser.open(address)
    assert response.status_code == 400
    assert b"took too long" in response.content
    assert list_failure_codes() == ["state_expired"]
    assert not alpha.token_calls


@pytest.mark.parametrize("has_cookie", [False, True], ids=["fresh", "another's"])
def test_state_is_bound_to_browser(browser, app, alpha, has_cookie):
    """Test session fixation: one browser starts, another finishes."""
    victim = Browser()
    if has_cookie:
        start_flow(victim, app)
    response = victim.open(alpha.approve(start_flow(browser, app)))
    assert response.status_code == 403
    assert_is_page(response)
    assert not alpha.token_calls
    assert is_nothing_connected()
    assert list_failure_codes() == ["other_browser"]


@pytest.mark.parametrize("cookie", ["", "x", "c" * 43, "c" * 5000])
def test_malformed_cookie_is_rejected(browser, app, alpha, cookie):
    address = alpha.approve(start_flow(browser, app))
    browser.client.cookies["connect"] = cookie
    assert browser.open(address).status_code == 403


def test_malformed_cookie_is_replaced_at_start(browser, app):
    browser.client.cookies["connect"] = "planted"
    start_flow(browser, app)
    assert len(browser.client.cookies["connect"].value) == 43


@pytest.mark.parametrize("iss", ["https://evil.example", "", "null", "ISS/", "http://127.0.0.1"])
def test_wrong_iss_is_rejected(browser, app, alpha, iss):
    response = browser.open(
        alpha.approve(start_flow(browser, app), iss=iss.replace("ISS", alpha.url))
    )
    assert response.status_code == 400
    assert not alpha.token_calls
    assert is_nothing_connected()


def test_missing_iss_is_rejected_if_provider_sends_it(browser, app, alpha):
    response = browser.open(alpha.approve(start_flow(browser, app), iss=None))
    assert response.status_code == 400
    assert list_failure_codes() == ["wrong_issuer"]


def test_missing_iss_is_accepted_if_unspecified(browser, app, alpha, change_oauth):
    change_oauth(iss=None)
    assert browser.open(alpha.approve(start_flow(browser, app), iss=None)).status_code == 303
    wrong = alpha.approve(start_flow(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


def test_iss_is_compared_with_origin_without_known_issuer(browser, app, alpha, change_oauth):
    change_oauth(iss=None, issuer=None)
    assert browser.open(alpha.approve(start_flow(browser, app))).status_code == 303
    wrong = alpha.approve(start_flow(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


PARTS = ("state", "callback", "iss", "code")


@pytest.mark.parametrize(
    "swapped",
    [set(pair) for size in (1, 2, 3) for pair in itertools.combinations(PARTS, size)],
    ids=lambda parts: "+".join(part for part in PARTS if part in parts),
)
def test_response_mixed_from_two_servers_is_rejected(browser, app, other_app, alpha, beta, swapped):
    """Test the mix-up attack: a response made of parts of two attempts in one browser."""
    at_alpha = alpha.approve(start_flow(browser, app))
    at_beta = beta.approve(start_flow(browser, other_app))
    params = parse_query(at_alpha)
    for name in ("state", "iss", "code"):
        if name in swapped:
            params[name] = parse_query(at_beta)[name]
    path = (at_beta if "callback" in swapped else at_alpha).partition("?")[0]
    response = browser.open(f"{path}?" + "&".join(f"{n}={quote(v)}" for n, v in params.items()))
    assert response.status_code == 400
    assert_is_page(response)
    assert is_nothing_connected()
    assert list_event_verbs()[-1] in {"connect.refused", "connect.failed"}
    token_calls = alpha.token_calls + beta.token_calls
    assert bool(token_calls) == (swapped in ({"code"}, {"state", "callback", "iss"}))


def test_two_flows_in_one_browser_succeed(browser, app, other_app, alpha, beta):
    at_alpha, at_beta = start_flow(browser, app), start_flow(browser, other_app)
    assert browser.open(beta.approve(at_beta)).status_code == 303
    assert browser.open(alpha.approve(at_alpha)).status_code == 303


def test_callback_of_another_app_is_rejected(browser, app, account, alpha):
    second = make_app(account, "alpha", redirect_uris=[RETURN])
    address = alpha.approve(start_flow(browser, app)).replace(str(app.id), str(second.id))
    assert browser.open(address).status_code == 400
    assert list_failure_codes() == ["wrong_callback"]


def test_short_callback_is_rejected_unless_enabled(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app)).replace(f"/{app.id}", "")
    assert browser.open(address).status_code == 400
    assert list_failure_codes() == ["wrong_callback"]


def test_unmatched_responses_record_limited_events(browser, app):
    for _ in range(70):
        browser.open(build_callback_path(app, state="x", code="y"))
    assert len(list_failure_codes()) == 60
