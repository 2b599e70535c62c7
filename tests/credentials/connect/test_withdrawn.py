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

pytestmark = pytest.mark.usefixtures("nothing_counted")


@pytest.fixture
def withdraw(app):
    return lambda: OAuthApp.objects.filter(id=app.id).update(redirect_uris=[])


def test_a_code_goes_nowhere(browser, app, alpha, withdraw):
    address = alpha.approve(start_flow(browser, app))
    withdraw()
    answer = browser.open(address)
    assert answer.status_code == 400
    assert_is_page(answer)
    assert RETURN.encode() not in answer.content
    assert get_failure_code() == "redirect_refused"
    assert is_nothing_connected()
    assert not alpha.token_calls


def test_a_refusal_offers_no_way_there(browser, app, alpha, withdraw):
    address = alpha.approve(start_flow(browser, app), code=None, error="access_denied")
    withdraw()
    assert RETURN.encode() not in browser.open(address).content


def test_a_link_ends_on_a_page_of_ours(browser, make_link, alpha, withdraw):
    made = make_link(return_to=RETURN)
    withdraw()
    answer = connect_by_link(browser, made, alpha)
    assert answer["Location"].startswith("/")
    answer = browser.open(answer["Location"])
    assert RETURN.encode() not in answer.content
    assert_is_page(answer)
