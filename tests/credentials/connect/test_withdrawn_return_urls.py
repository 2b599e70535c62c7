"""An address that the company withdrew while somebody was on the way: nobody is sent there."""

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
def withdraw(app):
    return lambda: OAuthApp.objects.filter(id=app.id).update(redirect_uris=[])


def test_withdrawn_redirect_uri_gets_no_code(browser, app, alpha, withdraw):
    address = alpha.approve(start_flow(browser, app))
    withdraw()
    response = browser.open(address)
    assert response.status_code == 400
    assert_is_page(response)
    assert RETURN.encode() not in response.content
    assert get_failure_code() == "redirect_refused"
    assert is_nothing_connected()
    assert not alpha.token_calls


def test_error_page_has_no_link_to_withdrawn_url(browser, app, alpha, withdraw):
    address = alpha.approve(start_flow(browser, app), code=None, error="access_denied")
    withdraw()
    assert RETURN.encode() not in browser.open(address).content


def test_link_with_withdrawn_url_ends_on_our_page(browser, make_link, alpha, withdraw):
    made = make_link(return_to=RETURN)
    withdraw()
    response = connect_by_link(browser, made, alpha)
    assert response["Location"].startswith("/")
    response = browser.open(response["Location"])
    assert RETURN.encode() not in response.content
    assert_is_page(response)
