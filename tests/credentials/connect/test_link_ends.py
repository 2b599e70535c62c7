"""The ways in which a connect link ends without a credential, and its owner."""

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


def test_browser_of_first_click_owns_link(api, browser, make_link):
    link = make_link()
    press_continue(browser, link)
    response = Browser().follow_redirects(link["url"])
    assert response.status_code == 403
    assert_is_page(response)
    assert b"another browser" in response.content
    for path in ("/continue", "/back"):
        assert Browser().follow_redirects(link["url"] + path).status_code == 403
    assert set(list_failure_codes()) == {"link_taken"}
    assert browser.follow_redirects(link["url"]).status_code == 200


def test_callback_in_another_browser_connects_nothing(api, browser, make_link, alpha):
    """Test session fixation: an attacker opens the link and lures the victim to the provider."""
    address = press_continue(browser, make_link())
    response = Browser().open(alpha.approve(address))
    assert response.status_code == 403
    assert not PendingGrant.objects.exists()
    assert not alpha.token_calls


@pytest.mark.parametrize("token", ["x", "a" * 43, "%00", "..%2f"])
def test_unknown_link_is_not_found(db, browser, token):
    response = browser.follow_redirects(f"/connect/{token}")
    assert response.status_code in {400, 404}


def test_link_expires(api, browser, make_link, settings):
    link = make_link(expires_in=60)
    browser.follow_redirects(link["url"])
    settings.CLOCK_SHIFT_SECONDS = 61
    response = browser.follow_redirects(link["url"])
    assert response.status_code == 410
    assert b"new link" in response.content
    assert browser.post(f"{link['url']}/continue").status_code == 410
    assert fetch_link(api, link)["status"] == "expired"


def test_link_that_expires_during_flow_stores_no_grant(browser, make_link, alpha, settings):
    link = make_link(expires_in=60)
    address = press_continue(browser, link)
    settings.CLOCK_SHIFT_SECONDS = 61
    response = browser.open(alpha.approve(address))
    assert response.status_code == 410
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1


def test_user_cancels_link(api, browser, make_link):
    link = make_link()
    browser.follow_redirects(link["url"])
    response = browser.post(f"{link['url']}/cancel")
    assert response.status_code == 303
    page = browser.open(response["Location"])
    back = f"{RETURN}?connect_link={link['id']}&status=cancelled"
    assert page["Refresh"] == f"0; url={back}"
    assert b"Nothing was connected" in page.content
    assert fetch_link(api, link)["status"] == "cancelled"
    assert browser.post(f"{link['url']}/continue").status_code == 410


def test_cancel_requires_csrf_token(make_link, browser):
    link = make_link()
    browser.client = Client(enforce_csrf_checks=True)
    browser.follow_redirects(link["url"])
    response = browser.post(f"{link['url']}/cancel")
    assert response.status_code == 403
    assert_is_page(response)
    assert ConnectLink.objects.get().status == "open"


def test_delete_revokes_pending_grant(api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204
    assert fetch_link(api, link)["status"] == "cancelled"
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1
    assert complete_link(api, link).status_code == 409
    assert browser.follow_redirects(link["url"]).status_code == 200
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 204


def test_completed_link_cannot_be_deleted(api, browser, make_link, alpha):
    link = make_link()
    connect_by_link(browser, link, alpha)
    complete_link(api, link)
    assert api.delete(f"/v1/connect-links/{link['id']}").status_code == 409


def test_user_can_try_again_after_denial(api, browser, make_link, alpha):
    link = make_link()
    state = parse_query(press_continue(browser, link))["state"]
    path = f"/link/oauth2/callback/alpha/{link['oauth_app_id']}"
    params = f"state={state}&error=access_denied&iss={alpha.url}"
    response = browser.open(f"{path}?{params}")
    assert response.status_code == 400
    assert f"{RETURN}?connect_link={link['id']}&amp;status=denied".encode() in response.content
    assert link["url"].removeprefix("http://testserver").encode() in response.content
    document = fetch_link(api, link)
    assert document["status"] == "opened"
    assert document["failure"]["code"] == "access_denied"
    assert connect_by_link(browser, link, alpha).status_code == 303
    assert fetch_link(api, link)["failure"] is None


def test_link_connects_once(browser, make_link, alpha):
    link = make_link()
    first, second = press_continue(browser, link), press_continue(browser, link)
    assert browser.open(alpha.approve(first)).status_code == 303
    assert browser.open(alpha.approve(second)).status_code == 410
    assert PendingGrant.objects.count() == 1


def test_attempt_stores_failure(browser, make_link, alpha):
    alpha.token_response = (401, {"error": "invalid_client"})
    assert connect_by_link(browser, make_link(), alpha).status_code == 400
    assert get_failure_code() == "app_rejected"
    failure = AuthorizationAttempt.objects.get().failure or {}
    assert "client id and secret" in failure["detail"]
