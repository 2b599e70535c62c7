"""Denials, failed exchanges and incomplete grants connect nothing."""

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

pytestmark = pytest.mark.usefixtures("reset_counters")


def test_user_denies_access(browser, app, alpha):
    address = start_flow(browser, app)
    state = parse_query(address)["state"]
    params = {"state": state, "error": "access_denied", "error_description": "<script>x</script>"}
    response = browser.open(build_callback_path(app, **params, iss=alpha.url))
    assert response.status_code == 400
    assert_is_page(response)
    assert b"You did not give access" in response.content
    back = f"{RETURN}?error=access_denied&amp;state=company-state"
    assert back.encode() in response.content
    assert list_event_verbs()[-1] == "connect.denied"
    assert get_failure_code() == "access_denied"
    assert is_nothing_connected()


@pytest.mark.parametrize(
    ("error", "company_error"),
    [
        ("invalid_scope", "server_error"),
        ("server_error", "temporarily_unavailable"),
        ("nonsense<b>", "server_error"),
        ("x" * 3000, "server_error"),
    ],
    ids=["scope", "outage", "markup", "long"],
)
def test_provider_error_is_passed_on(browser, app, alpha, error, company_error):
    state = parse_query(start_flow(browser, app))["state"]
    response = browser.open(build_callback_path(app, state=state, error=error, iss=alpha.url))
    assert response.status_code in {400, 503}
    assert f"{RETURN}?error={company_error}&amp;state=company-state".encode() in response.content
    assert error == company_error or error.encode() not in response.content.replace(
        company_error.encode(), b""
    )
    assert list_event_verbs()[-1] == "connect.failed"
    assert is_nothing_connected()


def test_error_takes_precedence_over_code(browser, app, alpha):
    response = browser.open(alpha.approve(start_flow(browser, app), error="access_denied"))
    assert response.status_code == 400
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
def test_failed_exchange_connects_nothing(browser, app, alpha, status, document, code):
    alpha.token_response = (status, document)
    response = browser.open(alpha.approve(start_flow(browser, app)))
    assert response.status_code in {400, 503}
    assert_is_page(response)
    assert code is None or list_failure_codes() == [code]
    assert is_nothing_connected()
    assert not Revocation.objects.exists()


def test_unreachable_provider_fails_attempt(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    settings.EGRESS_ALLOW = ""
    response = browser.open(address)
    assert response.status_code in {400, 503}
    assert list_event_verbs()[-1] == "connect.failed"


@pytest.mark.parametrize("lost", ["workspace", "refresh_token"])
def test_incomplete_grant_is_revoked(browser, app, alpha, lost):
    alpha.without = {lost}
    response = browser.open(alpha.approve(start_flow(browser, app)))
    assert response.status_code == 400
    assert lost.encode() in response.content
    assert list_failure_codes() == ["answer_incomplete"]
    assert is_nothing_connected()
    assert Revocation.objects.get().kind == "alpha_oauth2"


def test_provider_rejects_exchange_after_pkce_downgrade(browser, app, alpha):
    """Test a PKCE downgrade: an attacker removes the challenge to use a stolen code."""
    address = start_flow(browser, app)
    challenge = parse_query(address)["code_challenge"]
    stripped = address.replace(f"&code_challenge={challenge}&code_challenge_method=S256", "")
    assert "code_challenge" not in stripped
    response = browser.open(alpha.approve(stripped))
    assert response.status_code == 400
    assert is_nothing_connected()


def test_verifier_is_bound_to_attempt(browser, app, alpha):
    first, second = start_flow(browser, app), start_flow(browser, app)
    assert parse_query(first)["code_challenge"] != parse_query(second)["code_challenge"]
    injected = alpha.approve(first).replace(
        parse_query(first)["state"], parse_query(second)["state"]
    )
    assert browser.open(injected).status_code == 400
    assert is_nothing_connected()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "provider_refused"),
        (403, "provider_refused"),
        (404, "provider_refused"),
        (429, "provider_unavailable"),
        (500, "provider_unavailable"),
    ],
)
def test_a_missing_scope_for_the_identity_is_no_outage(
    browser, app, alpha, monkeypatch, status, code
):
    """Zoom's response to a token without the scope for its user is 400."""
    monkeypatch.setattr(alpha, "whoami", lambda authorization: (status, {"code": 4711}))
    address = start_flow(browser, app, kind="alpha_called_oauth2")
    assert browser.open(alpha.approve(address)).status_code in {400, 503}
    assert list_failure_codes() == [code]


@pytest.mark.parametrize("mail", ["a@b.c", "ann", "", None, 7, "ann@acme.example"])
def test_an_owner_without_an_email_address_is_connected(browser, app, alpha, monkeypatch, mail):
    """Microsoft's `userPrincipalName` need not be an address."""
    monkeypatch.setattr(alpha, "whoami", lambda authorization: (200, {"id": "ann", "mail": mail}))
    address = start_flow(browser, app, kind="alpha_called_oauth2")
    response = browser.open(alpha.approve(address))
    assert response.status_code == 303
    assert not list_failure_codes()
    assert not Revocation.objects.exists()
