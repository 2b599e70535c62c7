"""Requests that spend nothing: those of scanners, previews and prefetching browsers."""

from __future__ import annotations

import pytest
from django.test import Client

from credentials.connect import audit
from credentials.connect.models import AuthorizationAttempt, ConnectLink
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    approve_and_get_code,
    assert_is_page,
    connect_by_link,
    list_event_verbs,
    list_failure_codes,
    press_continue,
    start_flow,
)

pytestmark = pytest.mark.usefixtures("reset_counters")

SPECULATIVE = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Sec-Purpose": "prefetch;anonymous-client-ip"},
    {"Sec-Purpose": "Prefetch, prerender"},
    {"Purpose": "prefetch"},
    {"X-Moz": "prefetch"},
    {"X-Purpose": "preview"},
]


@pytest.fixture
def start_url(api, app) -> str:
    body = {"oauth_app_id": str(app.id), "credential_kind": "alpha_oauth2", "redirect_url": RETURN}
    url: str = api.post("/v1/credentials/start-auth", body).json()["start_url"]
    return url


def get_with_headers(browser: Browser, url: str, headers: dict[str, str]) -> int:
    path = url.removeprefix("http://testserver")
    status: int = browser.client.get(path, headers=headers).status_code
    return status


def test_prefetch_gets_empty_response_and_spends_nothing(browser, make_link, app, alpha, start_url):
    link = make_link()
    callback = alpha.approve(start_flow(browser, app))
    urls = [link["url"], f"{link['url']}/continue", callback, start_url]
    statuses = {get_with_headers(browser, url, each) for url in urls for each in SPECULATIVE}
    assert statuses == {204}
    # Chromium would use a 204 for the click, which would then do nothing.
    navigation = {"Sec-Purpose": "prefetch", "Sec-Fetch-Mode": "navigate"}
    assert {get_with_headers(browser, url, navigation) for url in urls} == {503}
    assert not alpha.token_calls
    assert ConnectLink.objects.get().status == "open"
    assert browser.open(callback).status_code == 303
    assert browser.open(start_url).status_code == 303
    assert connect_by_link(browser, link, alpha).status_code == 303


@pytest.mark.parametrize("value", ["", "navigate", "prefetched", "no-prefetch"])
def test_other_purposes_are_ordinary_requests(browser, make_link, value):
    assert get_with_headers(browser, make_link()["url"], {"Sec-Purpose": value}) == 200


def test_head_is_like_get_and_spends_nothing(browser, make_link, app, alpha, start_url):
    link = make_link()
    path = link["url"].removeprefix("http://testserver")
    head, get = browser.client.head(path), browser.client.get(path)
    assert (head.status_code, head["Content-Type"]) == (get.status_code, get["Content-Type"])
    assert head.content == b""
    assert browser.client.head("/connect/" + "x" * 43).status_code == 404
    callback = alpha.approve(start_flow(browser, app))
    for url in (callback, start_url):
        assert browser.client.head(url.removeprefix("http://testserver")).status_code == 204
    assert not alpha.token_calls
    assert ConnectLink.objects.get().status == "open"
    assert browser.open(callback).status_code == 303
    assert browser.open(start_url).status_code == 303


def test_get_with_cookies_does_not_claim_link(browser, make_link):
    link = make_link()
    scanner = Browser()
    for path in ("", "?c=1", "/continue", "/cancel", "/back", ""):
        assert scanner.follow_redirects(link["url"] + path).status_code == 200
    assert ConnectLink.objects.get().status == "open"
    assert not AuthorizationAttempt.objects.exists()
    assert list_event_verbs() == ["connect_link.created"]
    press_continue(browser, link)
    assert scanner.open(link["url"]).status_code == 403


def test_preview_without_cookies_does_not_own_link(make_link, browser):
    link = make_link()
    preview = Browser()
    assert preview.open(link["url"]).status_code == 200
    preview.client.cookies.clear()
    response = preview.post(f"{link['url']}/continue")
    assert response.status_code == 400
    assert_is_page(response)
    assert ConnectLink.objects.get().status == "open"
    press_continue(browser, link)


@pytest.mark.parametrize("path", ["/continue", "/cancel", ""])
def test_claim_requires_csrf_token(make_link, browser, path):
    """Test that another site cannot make a browser claim a link, its own or another's."""
    link = make_link()
    browser.client = Client(enforce_csrf_checks=True)
    browser.open(link["url"])
    response = browser.post(link["url"] + path)
    assert response.status_code == 403
    assert_is_page(response)
    assert b"open for too long" in response.content
    assert link["url"].removeprefix("http://testserver").encode() in response.content
    assert ConnectLink.objects.get().status == "open"
    token = browser.client.cookies["csrftoken"].value
    foreign = browser.client.post(
        link["url"].removeprefix("http://testserver") + path,
        {"csrfmiddlewaretoken": token},
        headers={"Origin": "https://evil.example"},
    )
    assert foreign.status_code == 403
    assert ConnectLink.objects.get().status == "open"


def test_post_without_any_cookie_says_that_cookies_are_blocked(make_link, browser):
    link = make_link()
    browser.client = Client(enforce_csrf_checks=True)
    response = browser.post(f"{link['url']}/continue")
    assert response.status_code == 400
    assert b"blocks cookies" in response.content


def test_click_renews_the_cookie(make_link, browser):
    link = make_link()
    browser.open(link["url"])
    before = browser.client.cookies["connect"].value
    response = browser.post(f"{link['url']}/continue")
    assert response.cookies["connect"].value == before
    assert response.cookies["connect"]["httponly"]
    assert response.cookies["connect"]["samesite"] == "Lax"


def test_claimed_link_that_is_opened_again_and_again_records_few_events(make_link, browser):
    link = make_link()
    press_continue(browser, link)
    for _ in range(30):
        assert Browser().open(link["url"]).status_code == 403
    assert list_failure_codes() == ["link_taken"] * 10


def test_replayed_callback_of_another_browser_records_few_events(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    assert browser.open(address).status_code == 303
    for _ in range(30):
        assert Browser().open(address).status_code == 400
    assert list_failure_codes() == ["state_used"] * 10
    assert approve_and_get_code(browser, app, alpha)


def test_the_events_of_a_link_end_however_long_it_is_scanned(make_link, browser, monkeypatch):
    monkeypatch.setattr(audit, "MAX_REJECTIONS_PER_TARGET", 12)
    # As if each request came in a minute of its own.
    monkeypatch.setattr(audit, "_count_in_minute", lambda key: 1)
    link = make_link()
    press_continue(browser, link)
    for _ in range(20):
        assert Browser().open(link["url"]).status_code == 403
    assert list_failure_codes() == ["link_taken"] * 12


def test_anonymous_requests_add_few_events_to_an_account(make_link, browser, app, monkeypatch):
    monkeypatch.setattr(audit, "MAX_ANONYMOUS_EVENTS_PER_HOUR", 5)
    links = [make_link() for _ in range(4)]
    for link in links:
        press_continue(browser, link)
        for _ in range(3):
            assert Browser().open(link["url"]).status_code == 403
    assert list_failure_codes() == ["link_taken"] * 5
