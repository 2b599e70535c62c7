"""What may come back beside the provider's answer: refused, and nothing connected."""

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

pytestmark = pytest.mark.usefixtures("nothing_counted")


@pytest.mark.parametrize("name", ["state", "code"])
@pytest.mark.parametrize("value", [None, ""], ids=["absent", "empty"])
def test_the_callback_needs_state_and_code(browser, app, alpha, name, value):
    answer = browser.open(alpha.approve(start_flow(browser, app), **{name: value}))
    assert answer.status_code == 400
    assert_is_page(answer)
    assert is_nothing_connected()
    assert list_event_verbs()[-1] in {"connect.refused", "connect.failed"}


@pytest.mark.parametrize("name", ["state", "code", "iss", "error", "error_description", "realmId"])
def test_the_callback_refuses_a_parameter_twice(browser, app, alpha, name):
    address = alpha.approve(start_flow(browser, app))
    value = parse_query(address).get(name, "x")
    twice = f"{address}&{name}={quote(value)}"
    answer = browser.open(twice if name in parse_query(address) else f"{twice}&{name}=y")
    assert answer.status_code == 400
    assert is_nothing_connected()
    assert list_event_verbs()[-1] == "connect.refused"
    assert not alpha.token_calls


@pytest.mark.parametrize("state", ["x", "s" * 43, "../..", "%00", "s" * 4097, "' OR 1=1 --"])
def test_a_state_that_nobody_made(browser, app, alpha, state):
    start_flow(browser, app)
    answer = browser.open(build_callback_path(app, state=state, code="code-1"))
    assert answer.status_code == 400
    assert_is_page(answer)
    assert state.encode() not in answer.content or state == "x"
    assert list_event_verbs()[-1] == "connect.refused"


def test_a_state_works_once(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    assert browser.open(address).status_code == 303
    answer = browser.open(address)
    assert answer.status_code == 400
    assert b"already done" in answer.content
    assert len(alpha.token_calls) == 1
    assert list_failure_codes() == ["state_used"]


def test_a_state_works_once_even_if_the_first_answer_was_wrong(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    wrong = address.replace("code=code", "code=stolen")
    assert browser.open(wrong).status_code == 400
    assert browser.open(address).status_code == 400
    assert is_nothing_connected()


def test_a_state_ends_after_ten_minutes(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    settings.CLOCK_SHIFT_SECONDS = 601
    answer = browser.open(address)
    assert answer.status_code == 400
    assert b"took too long" in answer.content
    assert list_failure_codes() == ["state_expired"]
    assert not alpha.token_calls


@pytest.mark.parametrize("has_cookie", [False, True], ids=["fresh", "another's"])
def test_a_state_is_for_the_browser_that_began(browser, app, alpha, has_cookie):
    """Session fixation: one starts, another finishes."""
    victim = Browser()
    if has_cookie:
        start_flow(victim, app)
    answer = victim.open(alpha.approve(start_flow(browser, app)))
    assert answer.status_code == 403
    assert_is_page(answer)
    assert not alpha.token_calls
    assert is_nothing_connected()
    assert list_failure_codes() == ["other_browser"]


@pytest.mark.parametrize("cookie", ["", "x", "c" * 43, "c" * 5000])
def test_a_cookie_that_we_did_not_make_is_none(browser, app, alpha, cookie):
    address = alpha.approve(start_flow(browser, app))
    browser.client.cookies["connect"] = cookie
    assert browser.open(address).status_code == 403


def test_a_cookie_that_was_planted_is_replaced(browser, app):
    browser.client.cookies["connect"] = "planted"
    start_flow(browser, app)
    assert len(browser.client.cookies["connect"].value) == 43


@pytest.mark.parametrize("iss", ["https://evil.example", "", "null", "ISS/", "http://127.0.0.1"])
def test_an_answer_of_another_issuer(browser, app, alpha, iss):
    answer = browser.open(
        alpha.approve(start_flow(browser, app), iss=iss.replace("ISS", alpha.url))
    )
    assert answer.status_code == 400
    assert not alpha.token_calls
    assert is_nothing_connected()


def test_an_issuer_may_not_be_left_out_where_the_provider_sends_it(browser, app, alpha):
    answer = browser.open(alpha.approve(start_flow(browser, app), iss=None))
    assert answer.status_code == 400
    assert list_failure_codes() == ["wrong_issuer"]


def test_an_issuer_may_be_left_out_where_nothing_says_that_it_is_sent(browser, app, alpha, says):
    says(iss=None)
    assert browser.open(alpha.approve(start_flow(browser, app), iss=None)).status_code == 303
    wrong = alpha.approve(start_flow(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


def test_an_issuer_that_no_file_has_is_held_to_the_providers_own_host(browser, app, alpha, says):
    says(iss=None, issuer=None)
    assert browser.open(alpha.approve(start_flow(browser, app))).status_code == 303
    wrong = alpha.approve(start_flow(browser, app), iss="https://evil.example")
    assert browser.open(wrong).status_code == 400


PARTS = ("state", "callback", "iss", "code")


@pytest.mark.parametrize(
    "swapped",
    [set(pair) for size in (1, 2, 3) for pair in itertools.combinations(PARTS, size)],
    ids=lambda parts: "+".join(part for part in PARTS if part in parts),
)
def test_no_part_of_one_servers_answer_passes_for_the_others(
    browser, app, other_app, alpha, beta, swapped
):
    """Mix-up: two attempts of one browser, and an answer made of parts of both."""
    at_alpha = alpha.approve(start_flow(browser, app))
    at_beta = beta.approve(start_flow(browser, other_app))
    sent = parse_query(at_alpha)
    for name in ("state", "iss", "code"):
        if name in swapped:
            sent[name] = parse_query(at_beta)[name]
    path = (at_beta if "callback" in swapped else at_alpha).partition("?")[0]
    answer = browser.open(f"{path}?" + "&".join(f"{n}={quote(v)}" for n, v in sent.items()))
    assert answer.status_code == 400
    assert_is_page(answer)
    assert is_nothing_connected()
    assert list_event_verbs()[-1] in {"connect.refused", "connect.failed"}
    taken = alpha.token_calls + beta.token_calls
    assert bool(taken) == (swapped in ({"code"}, {"state", "callback", "iss"}))


def test_an_answer_with_nothing_swapped_passes(browser, app, other_app, alpha, beta):
    at_alpha, at_beta = start_flow(browser, app), start_flow(browser, other_app)
    assert browser.open(beta.approve(at_beta)).status_code == 303
    assert browser.open(alpha.approve(at_alpha)).status_code == 303


def test_the_callback_of_another_app_at_the_same_provider(browser, app, account, alpha):
    second = make_app(account, "alpha", redirect_uris=[RETURN])
    address = alpha.approve(start_flow(browser, app)).replace(str(app.id), str(second.id))
    assert browser.open(address).status_code == 400
    assert list_failure_codes() == ["wrong_callback"]


def test_the_short_callback_is_for_apps_that_chose_it(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app)).replace(f"/{app.id}", "")
    assert browser.open(address).status_code == 400
    assert list_failure_codes() == ["wrong_callback"]


def test_strays_do_not_fill_the_trail(browser, app):
    for _ in range(70):
        browser.open(build_callback_path(app, state="x", code="y"))
    assert len(list_failure_codes()) == 60
