"""Links that scanners, prefetching browsers and in-app browsers open before the person does."""

from __future__ import annotations

from typing import Any

import pytest

from credentials.connect import view_decorators
from credentials.connect.models import AuthorizationAttempt, ConnectLink, PendingGrant
from credentials.connect.speculative_requests import build_speculative_response
from tests.browser.conftest import CHROMIUM
from tests.browser.connect.conftest import approve, get_heading, log_in
from tests.browser.connect.test_flows import build_authorize_address, make_link
from tests.browser.navigation import follow, press
from tests.credentials.connect.flows import (
    exchange_code_at_api,
    list_event_verbs,
    parse_query,
)
from tests.fakes.fixtures import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


def press_continue(page: Any) -> None:
    press(page, "Continue to Alpha")
    page.wait_for_url("**/login?**")


def test_scanner_with_cookies_does_not_own_link(people, apps, company, api):
    """Test a scanner that opens an e-mail's link in a whole browser, as Safe Links does."""
    link = make_link(api, apps[0], company)
    scanner = people(java_script_enabled=True)
    for _ in range(2):
        scanner.goto(link["url"])
        assert get_heading(scanner) == "Connect Alpha to Acme"
    for path in ("/continue", "/cancel", "/back"):
        scanner.goto(link["url"] + path)
        assert get_heading(scanner) == "Connect Alpha to Acme"
    assert ConnectLink.objects.get().status == "open"
    assert not AuthorizationAttempt.objects.exists()

    person = people()
    person.goto(link["url"])
    press_continue(person)
    assert ConnectLink.objects.get().status == "opened"
    approve(person)
    assert company.last() == {"connect_link": link["id"], "status": "pending"}
    scanner.goto(link["url"])
    assert get_heading(scanner) == "This link was opened in another browser"


def test_link_continues_in_another_browser_until_the_first_click(people, apps, company, api):
    """Test an in-app browser, from which the person goes on to the phone's own browser."""
    link = make_link(api, apps[0], company)
    in_app, safari = people(), people()
    in_app.goto(link["url"])
    safari.goto(link["url"])
    press_continue(safari)
    press(in_app, "Continue to Alpha")
    assert get_heading(in_app) == "This link was opened in another browser"
    approve(safari)
    assert company.last() == {"connect_link": link["id"], "status": "pending"}


def test_browser_without_cookies_is_told_so(people, apps, company, api):
    link = make_link(api, apps[0], company)
    page = people()
    page.goto(link["url"])
    page.context.clear_cookies()
    press(page, "Continue to Alpha")
    assert get_heading(page) == "Your browser blocks cookies for this page"
    assert ConnectLink.objects.get().status == "open"
    follow(page, "Try again")
    press_continue(page)


RULES = '{"%s": [{"source": "list", "urls": ["%s"], "eagerness": "immediate"}]}'


def approve_up_to_callback(page: Any) -> str:
    """Log in and approve at the provider; return the callback's URL, which is not opened."""
    log_in(page)
    form = page.locator("form", has=page.get_by_role("button", name="Authorize"))
    # `all` does not wait: on a slow machine it would read the log-in page's form, or none.
    form.wait_for()
    fields = {
        field.get_attribute("name"): field.get_attribute("value") or ""
        for field in form.locator("input[type=hidden]").all()
    }
    response = page.context.request.post(
        page.url, form={**fields, "allow": "Authorize"}, max_redirects=0
    )
    assert response.status == 302, response.text()
    return str(response.headers["location"])


@pytest.mark.parametrize("how", ["rel=prefetch", "prefetch", "prerender"])
@pytest.mark.parametrize("target", ["link", "callback"])
def test_prefetched_page_spends_nothing_and_the_click_works(
    people, site, apps, company, api, speculative_requests, how, target
):
    """Test a page on this site that prefetches the link or the callback, then a click on it."""
    page = people(java_script_enabled=True)
    url = make_link(api, apps[0], company)["url"]
    if target == "callback":
        page.goto(build_authorize_address(site, apps[0], company))
        url = approve_up_to_callback(page)
    speculation = (
        f'<link rel=prefetch href="{url}">'
        if how == "rel=prefetch"
        else f"<script type=speculationrules>{RULES % (how, url)}</script>"
    )
    body = f'<title>Page</title>{speculation}<a href="{url}">Click</a>'
    page.context.route(
        f"{site}/page", lambda route: route.fulfill(body=body, content_type="text/html")
    )
    page.goto(f"{site}/page")
    wait_until(lambda: speculative_requests)
    assert ConnectLink.objects.get().status == "open"
    assert set(AuthorizationAttempt.objects.values_list("status", flat=True)) <= {"waiting"}
    page.get_by_role("link", name="Click").click()
    if target == "link":
        page.wait_for_url(url)
        assert get_heading(page) == "Connect Alpha to Acme"
    else:
        page.wait_for_url(f"{company.address}**")
        assert exchange_code_at_api(apps[0], company.last()["code"]).status_code == 200


@pytest.fixture
def speculative_requests(monkeypatch) -> list[str]:
    """Return the paths of the requests that were recognized as speculative."""
    paths: list[str] = []

    def build_and_record(request: Any) -> Any:
        paths.append(request.path)
        return build_speculative_response(request)

    monkeypatch.setattr(view_decorators, "build_speculative_response", build_and_record)
    return paths


def test_repeated_callback_ends_where_the_first_did(page, site, apps, company):
    """Test reload, back and a doubled request, before and after the company has the tokens."""
    page.goto(build_authorize_address(site, apps[0], company))
    callback = approve_up_to_callback(page)
    page.goto(callback)
    first = company.visits[-1]
    page.goto(callback)
    assert company.visits == [first, first]
    assert exchange_code_at_api(apps[0], company.last()["code"]).status_code == 200
    page.goto(callback)
    assert get_heading(page) == "You are connected"
    follow(page, "Go back")
    assert company.visits[-1] == "/connected"
    assert list_event_verbs() == ["connect.granted", "connect.exchanged"]
    assert AuthorizationAttempt.objects.count() == 1


def test_doubled_callback_of_a_link_ends_where_the_first_did(people, apps, company, api):
    """Test two tabs that open the callback at the same time."""
    page = people(java_script_enabled=True)
    link = make_link(api, apps[0], company)
    page.goto(link["url"])
    press_continue(page)
    callback = approve_up_to_callback(page)
    tab = page.context.new_page()
    for each in (page, tab):
        # Unlike `goto`, this does not wait for the response.
        each.evaluate("url => { setTimeout(() => location.assign(url), 0) }", callback)
    for each in (page, tab):
        each.wait_for_url(f"{company.address}**")
    back = {"connect_link": link["id"], "status": "pending"}
    assert [parse_query(path) for path in company.visits] == [back, back]
    assert PendingGrant.objects.count() == 1


def test_callback_in_another_browser_learns_nothing(people, site, apps, company):
    """Test that a repeated callback gives neither the code nor the way back to another browser."""
    page, other = people(), people()
    page.goto(build_authorize_address(site, apps[0], company))
    callback = approve_up_to_callback(page)
    page.goto(callback)
    visits = list(company.visits)
    other.goto(callback)
    assert get_heading(other) == "This step is already done"
    assert other.get_by_role("link").count() == 0
    assert company.visits == visits


def test_posted_response_keeps_the_browser(page, site, apps, company, servers):
    """Test response_mode=form_post, from another site: the cookie comes with the redirect."""
    page.goto(build_authorize_address(site, apps[0], company))
    callback = approve_up_to_callback(page)
    inputs = "".join(
        f'<input type=hidden name="{name}" value="{value}">'
        for name, value in parse_query(callback).items()
    )
    body = f'<form method=post action="{callback.partition("?")[0]}">{inputs}<button>Go</button></form>'
    page.context.route(
        f"{servers[0].url}/form", lambda route: route.fulfill(body=body, content_type="text/html")
    )
    page.goto(f"{servers[0].url}/form")
    press(page, "Go")
    page.wait_for_url(f"{company.address}**")
    assert exchange_code_at_api(apps[0], company.last()["code"]).status_code == 200
