"""A provider or a user that says no, and a grant that does not hold: nothing connected."""

from __future__ import annotations

import pytest

from credentials.models import Revocation
from tests.credentials.connect.flows import (
    RETURN,
    assert_is_page,
    build_callback_path,
    get_failure_code,
    is_nothing_connected,
    list_event_verbs,
    list_failure_codes,
    parse_query,
    start_flow,
)

pytestmark = pytest.mark.usefixtures("nothing_counted")


def test_the_user_says_no(browser, app, alpha):
    address = start_flow(browser, app)
    state = parse_query(address)["state"]
    sent = {"state": state, "error": "access_denied", "error_description": "<script>x</script>"}
    answer = browser.open(build_callback_path(app, **sent, iss=alpha.url))
    assert answer.status_code == 400
    assert_is_page(answer)
    assert b"You did not give access" in answer.content
    back = f"{RETURN}?error=access_denied&amp;state=company-state"
    assert back.encode() in answer.content
    assert list_event_verbs()[-1] == "connect.denied"
    assert get_failure_code() == "access_denied"
    assert is_nothing_connected()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("invalid_scope", "server_error"),
        ("server_error", "temporarily_unavailable"),
        ("nonsense<b>", "server_error"),
        ("x" * 3000, "server_error"),
    ],
    ids=["scope", "outage", "markup", "long"],
)
def test_the_provider_says_no(browser, app, alpha, error, told):
    state = parse_query(start_flow(browser, app))["state"]
    answer = browser.open(build_callback_path(app, state=state, error=error, iss=alpha.url))
    assert answer.status_code in {400, 503}
    assert f"{RETURN}?error={told}&amp;state=company-state".encode() in answer.content
    assert error == told or error.encode() not in answer.content.replace(told.encode(), b"")
    assert list_event_verbs()[-1] == "connect.failed"
    assert is_nothing_connected()


def test_an_error_beside_a_code_wins(browser, app, alpha):
    answer = browser.open(alpha.approve(start_flow(browser, app), error="access_denied"))
    assert answer.status_code == 400
    assert not alpha.token_calls


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (400, {"error": "invalid_grant"}, "provider_refused"),
        (400, {"error": "invalid_request"}, "provider_refused"),
        (401, {"error": "invalid_client"}, "app_rejected"),
        (500, {}, "provider_unavailable"),
        (429, {}, "provider_unavailable"),
        (200, {"error": "invalid_grant"}, "provider_refused"),
        (200, {}, "provider_unavailable"),
        (200, {"access_token": ""}, "provider_unavailable"),
    ],
)
def test_an_exchange_that_brings_nothing(browser, app, alpha, status, document, code):
    alpha.token_answer = (status, document)
    answer = browser.open(alpha.approve(start_flow(browser, app)))
    assert answer.status_code in {400, 503}
    assert_is_page(answer)
    assert code is None or list_failure_codes() == [code]
    assert is_nothing_connected()
    assert not Revocation.objects.exists()


def test_a_provider_that_is_down(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    settings.EGRESS_ALLOW = ""
    answer = browser.open(address)
    assert answer.status_code in {400, 503}
    assert list_event_verbs()[-1] == "connect.failed"


@pytest.mark.parametrize("lost", ["workspace", "refresh_token"])
def test_a_grant_that_does_not_say_whose_it_is_is_given_back(browser, app, alpha, lost):
    alpha.without = {lost}
    answer = browser.open(alpha.approve(start_flow(browser, app)))
    assert answer.status_code == 400
    assert lost.encode() in answer.content
    assert list_failure_codes() == ["answer_incomplete"]
    assert is_nothing_connected()
    assert Revocation.objects.get().kind == "alpha_oauth2"


def test_a_verifier_that_was_taken_away_is_missed_by_the_provider(browser, app, alpha):
    """PKCE downgrade: the challenge is stripped on the way, so that a stolen code would do."""
    address = start_flow(browser, app)
    challenge = parse_query(address)["code_challenge"]
    stripped = address.replace(f"&code_challenge={challenge}&code_challenge_method=S256", "")
    assert "code_challenge" not in stripped
    answer = browser.open(alpha.approve(stripped))
    assert answer.status_code == 400
    assert is_nothing_connected()


def test_the_verifier_of_one_attempt_is_no_others(browser, app, alpha):
    first, second = start_flow(browser, app), start_flow(browser, app)
    assert parse_query(first)["code_challenge"] != parse_query(second)["code_challenge"]
    injected = alpha.approve(first).replace(
        parse_query(first)["state"], parse_query(second)["state"]
    )
    assert browser.open(injected).status_code == 400
    assert is_nothing_connected()
