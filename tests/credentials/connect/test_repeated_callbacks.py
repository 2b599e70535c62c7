"""A callback that the same browser sends again: reloaded, doubled, parallel, or after going back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from credentials.connect import callback, callback_views
from credentials.connect.models import AuthorizationAttempt, PendingGrant
from credentials.models import Revocation
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    assert_is_page,
    build_callback_path,
    complete_link,
    connect_by_link,
    exchange_code_at_api,
    fetch_link,
    get_failure_code,
    get_refresh_url,
    list_event_verbs,
    list_failure_codes,
    parse_query,
    press_continue,
    start_flow,
)
from tests.credentials.connect.test_expiry import run_expire_task

pytestmark = pytest.mark.usefixtures("reset_counters")


def test_repeated_callback_redirects_to_the_same_url(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    locations = {browser.open(address)["Location"] for _ in range(3)}
    assert len(locations) == 1
    assert len(alpha.token_calls) == 1
    # After going back, many providers send another code with the same state.
    assert browser.open(address.replace("code=code", "code=other"))["Location"] in locations
    assert list_event_verbs() == ["connect.granted"]
    code = parse_query(locations.pop())["code"]
    assert exchange_code_at_api(app, code).status_code == 200


def test_repeated_callback_does_not_send_an_exchanged_code_again(browser, app, alpha):
    """Test going back: a company that exchanged its code again would revoke the grant."""
    address = alpha.approve(start_flow(browser, app))
    code = parse_query(browser.open(address)["Location"])["code"]
    exchange_code_at_api(app, code)
    response = browser.open(address)
    assert response.status_code == 200
    assert_is_page(response)
    assert f'href="{RETURN}"'.encode() in response.content
    assert code.encode() not in response.content
    assert Revocation.objects.count() == 0


def test_repeated_callback_says_what_the_first_said(browser, app, alpha):
    start = start_flow(browser, app)
    path = build_callback_path(app, state=parse_query(start)["state"], error="access_denied")
    first, again = browser.open(path), browser.open(path)
    assert first.status_code == again.status_code == 400
    back = f"{RETURN}?error=access_denied&amp;state=company-state".encode()
    for response in (first, again):
        assert b"You did not give access" in response.content
        assert back in response.content
    assert list_event_verbs() == ["connect.denied"]


def test_repeated_callback_after_a_wrong_code_leads_back(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app)).replace("code=code", "code=stolen")
    first, again = browser.open(address), browser.open(address)
    assert first.status_code == again.status_code == 400
    for response in (first, again):
        assert f"{RETURN}?error=server_error&amp;state=company-state".encode() in response.content
    assert len(alpha.token_calls) == 1


@pytest.mark.parametrize("completed", [False, True])
def test_repeated_callback_of_link_leads_back(api, browser, make_link, alpha, completed):
    link = make_link()
    address = alpha.approve(press_continue(browser, link))
    first = browser.open(address)["Location"]
    if completed:
        complete_link(api, link)
    again = browser.open(address)["Location"]
    status = "completed" if completed else "pending"
    assert first == f"{RETURN}?connect_link={link['id']}&status=pending"
    assert again == f"{RETURN}?connect_link={link['id']}&status={status}"


def test_repeated_callback_of_link_without_return_url(browser, make_link, alpha):
    link = make_link(return_to=None)
    address = alpha.approve(press_continue(browser, link))
    first, again = browser.open(address)["Location"], browser.open(address)["Location"]
    assert first == again == link["url"].removeprefix("http://testserver") + "/back"


def test_repeated_callback_of_failed_link_can_be_tried_again(api, browser, make_link, alpha):
    link = make_link()
    state = parse_query(press_continue(browser, link))["state"]
    path = f"/link/oauth2/callback/alpha/{link['oauth_app_id']}"
    for _ in range(2):
        response = browser.open(f"{path}?state={state}&error=access_denied&iss={alpha.url}")
        assert link["url"].removeprefix("http://testserver").encode() in response.content
        assert b"status=denied" in response.content
    assert connect_by_link(browser, link, alpha).status_code == 303


@pytest.mark.parametrize("has_cookie", [False, True], ids=["fresh", "another's"])
def test_another_browser_gets_neither_code_nor_way_back(browser, app, alpha, has_cookie):
    """Test an attacker who has seen the whole callback URL, after it was used."""
    address = alpha.approve(start_flow(browser, app))
    code = parse_query(browser.open(address)["Location"])["code"]
    other = Browser()
    if has_cookie:
        start_flow(other, app)
    response = other.open(address)
    assert response.status_code == 400
    for secret in (code, RETURN, "company-state"):
        assert secret.encode() not in response.content
    assert "Location" not in response


def test_callback_of_another_app_gets_no_code(browser, app, other_app, alpha):
    address = alpha.approve(start_flow(browser, app))
    browser.open(address)
    wrong = address.replace("callback/alpha", "callback/beta").replace(
        str(app.id), str(other_app.id)
    )
    assert browser.open(wrong).status_code == 400
    assert list_failure_codes()[-1] == "state_used"


def test_withdrawn_return_url_is_not_used_again(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    browser.open(address)
    app.redirect_uris = ["https://acme.example/other"]
    app.save()
    response = browser.open(address)
    assert response.status_code == 200
    assert RETURN.encode() not in response.content


def test_wrong_response_in_another_browser_still_ends_the_attempt(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    assert Browser().open(address).status_code == 403
    response = browser.open(address)
    assert response.status_code == 400
    assert b"already done" in response.content
    assert f"{RETURN}?error=server_error&amp;state=company-state".encode() in response.content
    assert not alpha.token_calls


@pytest.mark.parametrize("by_worker", [False, True])
def test_late_callback_leads_back(browser, app, alpha, settings, by_worker):
    address = alpha.approve(start_flow(browser, app))
    settings.CLOCK_SHIFT_SECONDS = 601
    if by_worker:
        run_expire_task()
    for _ in range(2):
        response = browser.open(address)
        assert b"took too long" in response.content
        assert f"{RETURN}?error=server_error&amp;state=company-state".encode() in response.content


def test_wrong_issuer_leads_back(browser, app, alpha):
    response = browser.open(alpha.approve(start_flow(browser, app), iss="https://evil.example"))
    assert response.status_code == 400
    assert f"{RETURN}?error=server_error&amp;state=company-state".encode() in response.content


def test_repeated_parameter_leads_back_and_spends_nothing(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    response = browser.open(f"{address}&code=x")
    assert response.status_code == 400
    assert f"{RETURN}?error=server_error&amp;state=company-state".encode() in response.content
    assert RETURN.encode() not in Browser().open(f"{address}&code=x").content
    assert browser.open(address).status_code == 303


@pytest.mark.django_db(transaction=True)
def test_parallel_callback_waits_for_the_first(browser, app, alpha, monkeypatch):
    address = alpha.approve(start_flow(browser, app))
    exchange_code: Any = vars(callback)["exchange_code"]
    began, may_go_on = threading.Event(), threading.Event()

    def exchange_slowly(*args: Any, **kwargs: Any) -> Any:
        began.set()
        may_go_on.wait(60)
        return exchange_code(*args, **kwargs)

    monkeypatch.setattr(callback, "exchange_code", exchange_slowly)
    locations: list[str] = []

    def open_address(of: Browser) -> None:
        try:
            locations.append(of.open(address)["Location"])
        finally:
            # Otherwise the thread's connection keeps the test database from being dropped.
            connection.close()

    first = threading.Thread(target=open_address, args=(browser,))
    first.start()
    assert began.wait(60)
    tab = Browser()
    tab.client.cookies["connect"] = browser.client.cookies["connect"].value
    monkeypatch.setattr(callback_views, "MAX_POLLS", 1)
    page = tab.open(address)
    assert page.status_code == 200
    assert page["Refresh"] == "2"
    assert_is_page(page)
    monkeypatch.setattr(callback_views, "MAX_POLLS", 50)
    second = threading.Thread(target=open_address, args=(tab,))
    second.start()
    may_go_on.set()
    first.join()
    second.join()
    assert len(locations) == 2
    assert len(set(locations)) == 1
    assert len(alpha.token_calls) == 1


def test_callback_of_a_killed_process_leads_back(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    browser.open(address)
    AuthorizationAttempt.objects.update(status="returned")
    PendingGrant.objects.all().delete()
    settings.CLOCK_SHIFT_SECONDS = 121
    response = browser.open(address)
    assert response.status_code == 503
    assert b"error=temporarily_unavailable&amp;state=company-state" in response.content


@pytest.mark.parametrize(
    "error",
    [
        *("user_cancelled_login", "user_cancelled_authorize", "User_Canceled", "user_denied"),
        *("authorization_declined", "access_denied", "ACCESS_DENIED"),
    ],
)
def test_words_for_denial(api, browser, make_link, alpha, error):
    link = make_link()
    state = parse_query(press_continue(browser, link))["state"]
    path = f"/link/oauth2/callback/alpha/{link['oauth_app_id']}"
    response = browser.open(f"{path}?state={state}&error={error}&iss={alpha.url}")
    assert b"You did not give access" in response.content
    assert f"{RETURN}?connect_link={link['id']}&amp;status=denied".encode() in response.content
    assert fetch_link(api, link)["failure"]["code"] == "access_denied"
    assert list_event_verbs()[-1] == "connect.denied"


@pytest.mark.parametrize(
    "error", ["server_error", "cancelled_by_admin", "user", "consent_required"]
)
def test_other_errors_are_no_denial(browser, app, alpha, error):
    state = parse_query(start_flow(browser, app))["state"]
    browser.open(build_callback_path(app, state=state, error=error))
    assert get_failure_code() != "access_denied"


class TestPost:
    """A response that the provider posts (OAuth 2.0 Form Post Response Mode)."""

    def test_posted_response_connects(self, browser, app, alpha):
        path, _, query = alpha.approve(start_flow(browser, app)).partition("?")
        poster = Browser()
        poster.client = Client(enforce_csrf_checks=True)
        # The browser leaves out the cookie, because another site posts.
        response = poster.post(path, parse_query(f"?{query}"))
        assert response.status_code == 303
        assert response["Location"].startswith(path.removeprefix("http://testserver"))
        assert not alpha.token_calls
        assert browser.open(response["Location"]).status_code == 303
        assert len(alpha.token_calls) == 1

    def test_forged_post_connects_nothing(self, browser, app, alpha):
        """Test login CSRF: an attacker's site posts the attacker's response in a victim's browser."""
        attacker = Browser()
        params = parse_query(alpha.approve(start_flow(attacker, app)))
        start_flow(browser, app)
        response = browser.post(build_callback_path(app), params)
        response = browser.open(response["Location"])
        assert response.status_code == 403
        assert not alpha.token_calls
        assert list_failure_codes() == ["other_browser"]

    @pytest.mark.parametrize(
        "fields", [{}, {"code": "x"}, {"state": "s", "user": "u" * 4000}], ids=["", "code", "long"]
    )
    def test_wrong_form_gets_a_page(self, app, fields):
        poster = Browser()
        poster.client = Client(enforce_csrf_checks=True)
        response = poster.post(build_callback_path(app), fields)
        assert response.status_code == 400
        assert_is_page(response)
        assert b"CSRF" not in response.content

    def test_repeated_field_is_rejected(self, browser, app, alpha):
        params: dict[str, Any] = parse_query(alpha.approve(start_flow(browser, app)))
        response = browser.post(build_callback_path(app), {**params, "code": ["a", "b"]})
        assert browser.open(response["Location"]).status_code == 400
        assert not alpha.token_calls


def test_page_after_continue_goes_on_by_itself(browser, make_link, alpha):
    link = make_link()
    browser.open(link["url"])
    response = browser.post(f"{link['url']}/continue")
    assert_is_page(response)
    assert get_refresh_url(response).startswith(f"{alpha.url}/authorize?")
    # The same URL is behind a button, for browsers that do not go on by themselves.
    assert b'class="button"' in response.content
