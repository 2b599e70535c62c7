"""Everywhere a connect link ends before a credential, and who it is that may go on with it."""

from __future__ import annotations

import pytest
from django.test import Client

from credentials.connect.models import AuthorizationAttempt, ConnectLink, PendingGrant
from credentials.models import Revocation
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    assert_is_page,
    complete_link,
    connect_by_link,
    fetch_link,
    get_failure_code,
    list_failure_codes,
    parse_query,
    press_continue,
)


def test_the_first_browser_owns_the_link(api, browser, make_link):
    link = make_link()
    browser.follow_redirects(link["url"])
    answer = Browser().follow_redirects(link["url"])
    assert answer.status_code == 403
    assert_is_page(answer)
    assert b"another browser" in answer.content
    for path in ("/continue", "/back"):
        assert Browser().follow_redirects(link["url"] + path).status_code in {400, 403}
    assert list_failure_codes() == ["link_taken"]
    assert browser.follow_redirects(link["url"]).status_code == 200


def test_a_victim_that_finishes_for_an_attacker_connects_nothing(api, browser, make_link, alpha):
    """Session fixation: the attacker opens, and lures the victim to the provider."""
    address = press_continue(browser, make_link())
    answer = Browser().open(alpha.approve(address))
    assert answer.status_code == 403
    assert not PendingGrant.objects.exists()
    assert not alpha.token_calls


def test_a_preview_that_keeps_no_cookies_does_not_own_the_link(make_link, browser):
    link = make_link()
    for _ in range(2):
        preview = Browser()
        answer = preview.open(link["url"])
        preview.client.cookies.clear()
        assert preview.open(answer["Location"]).status_code == 400
    assert ConnectLink.objects.get().status == "open"
    assert browser.follow_redirects(link["url"]).status_code == 200


@pytest.mark.parametrize("token", ["x", "a" * 43, "%00", "..%2f"])
def test_a_link_that_nobody_made(db, browser, token):
    answer = browser.follow_redirects(f"/connect/{token}")
    assert answer.status_code in {400, 404}


def test_a_link_ends(api, browser, make_link, settings):
    link = make_link(expires_in=60)
    browser.follow_redirects(link["url"])
    settings.CLOCK_SHIFT_SECONDS = 61
    answer = browser.follow_redirects(link["url"])
    assert answer.status_code == 410
    assert b"new link" in answer.content
    assert browser.open(f"{link['url']}/continue").status_code == 410
    assert fetch_link(api, link)["status"] == "expired"


def test_a_link_that_ends_on_the_way_holds_nothing(browser, make_link, alpha, settings):
    link = make_link(expires_in=60)
    address = press_continue(browser, link)
    settings.CLOCK_SHIFT_SECONDS = 61
    answer = browser.open(alpha.approve(address))
    assert answer.status_code == 410
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1


def test_cancel_by_the_person(api, browser, make_link):
    link = make_link()
    browser.follow_redirects(link["url"])
    answer = browser.post(f"{link['url']}/cancel")
    assert answer.status_code == 303
    page = browser.open(answer["Location"])
    back = f"{RETURN}?connect_link={link['id']}&status=cancelled"
    assert page["Refresh"] == f"0; url={back}"
    assert b"Nothing was connected" in page.content
    assert fetch_link(api, link)["status"] == "cancelled"
    assert browser.open(f"{link['url']}/continue").status_code == 410


def test_cancel_needs_its_own_page(make_link, browser):
    link = make_link()
    browser.client = Client(enforce_csrf_checks=True)
    browser.follow_redirects(link["url"])
    answer = browser.post(f"{link['url']}/cancel")
    assert answer.status_code == 403
    assert_is_page(answer)
    assert ConnectLink.objects.get().status == "opened"


def test_cancel_by_the_company_gives_the_pending_grant_back(api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204
    assert fetch_link(api, link)["status"] == "cancelled"
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1
    assert complete_link(api, link).status_code == 409
    assert browser.follow_redirects(link["url"]).status_code == 200
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204


def test_a_completed_link_is_not_cancelled(api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    complete_link(api, link)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 409


def test_who_said_no_may_try_again(api, browser, make_link, alpha):
    link = make_link()
    state = parse_query(press_continue(browser, link))["state"]
    path = f"/link/oauth2/callback/alpha/{link['oauth_app_id']}"
    sent = f"state={state}&error=access_denied&iss={alpha.url}"
    answer = browser.open(f"{path}?{sent}")
    assert answer.status_code == 400
    assert f"{RETURN}?connect_link={link['id']}&amp;status=denied".encode() in answer.content
    assert link["url"].removeprefix("http://testserver").encode() in answer.content
    found = fetch_link(api, link)
    assert found["status"] == "opened"
    assert found["failure"]["code"] == "access_denied"
    assert connect_by_link(browser, link, alpha).status_code == 303
    assert fetch_link(api, link)["failure"] is None


def test_a_link_connects_once(browser, make_link, alpha):
    link = make_link()
    first, second = press_continue(browser, link), press_continue(browser, link)
    assert browser.open(alpha.approve(first)).status_code == 303
    assert browser.open(alpha.approve(second)).status_code == 410
    assert PendingGrant.objects.count() == 1


def test_an_attempt_says_why_it_failed(browser, make_link, alpha):
    alpha.token_answer = (401, {"error": "invalid_client"})
    assert connect_by_link(browser, make_link(), alpha).status_code == 400
    assert get_failure_code() == "app_rejected"
    failure = AuthorizationAttempt.objects.get().failure or {}
    assert "client id and secret" in failure["detail"]
