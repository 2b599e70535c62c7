"""Return URLs that the company withdrew during a flow get no redirect."""

from __future__ import annotations

import pytest

from oauth_apps.models import OAuthApp
from tests.credentials.connect.flows import (
    RETURN,
    assert_is_page,
    connect_by_link,
    get_failure_code,
    is_nothing_connected,
    start_flow,
)

pytestmark = pytest.mark.usefixtures("reset_counters")


@pytest.fixture
def withdraw_redirect_uris(app):
    return lambda: OAuthApp.objects.filter(id=app.id).update(redirect_uris=[])


def test_withdrawn_redirect_uri_gets_no_code(browser, app, alpha, withdraw_redirect_uris):
    address = alpha.approve(start_flow(browser, app))
    withdraw_redirect_uris()
    response = browser.open(address)
    assert response.status_code == 400
    assert_is_page(response)
    assert RETURN.encode() not in response.content
    assert get_failure_code() == "redirect_refused"
    assert is_nothing_connected()
    assert not alpha.token_calls


def test_error_page_has_no_link_to_withdrawn_url(browser, app, alpha, withdraw_redirect_uris):
    address = alpha.approve(start_flow(browser, app), code=None, error="access_denied")
    withdraw_redirect_uris()
    assert RETURN.encode() not in browser.open(address).content


def test_link_with_withdrawn_url_ends_on_our_page(
    browser, make_link, alpha, withdraw_redirect_uris
):
    link = make_link(return_to=RETURN)
    withdraw_redirect_uris()
    response = connect_by_link(browser, link, alpha)
    assert response["Location"].startswith("/")
    response = browser.open(response["Location"])
    assert RETURN.encode() not in response.content
    assert_is_page(response)
