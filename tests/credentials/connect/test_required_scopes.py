"""The scopes of a flow, with those that the provider's file requires."""

from __future__ import annotations

import pytest

from tests.credentials.connect.flows import (
    approve_and_get_code,
    exchange_code_at_api,
    parse_query,
    press_continue,
    start_flow,
)

SOURCE = {"url": "https://docs.example.com/scopes", "read": "2026-11-30"}
REQUIRED = [{"scope": "offline", "purpose": "offline", "source": SOURCE}]


@pytest.fixture
def _required(change_oauth, alpha) -> None:
    change_oauth(required_scopes=REQUIRED)


@pytest.mark.usefixtures("_required")
def test_scopes_of_the_app_keep_the_required_one(browser, app):
    app.scopes = ["mail"]
    app.save()
    assert parse_query(start_flow(browser, app))["scope"] == "mail offline"


@pytest.mark.usefixtures("_required")
def test_default_scopes_keep_the_required_one(browser, app):
    assert parse_query(start_flow(browser, app))["scope"] == "read write offline"


@pytest.mark.usefixtures("_required")
def test_scopes_of_a_flow_keep_the_required_one(browser, app):
    assert parse_query(start_flow(browser, app, scope="read"))["scope"] == "read offline"


@pytest.mark.usefixtures("_required")
def test_scopes_of_a_link_keep_the_required_one(browser, make_link):
    url = press_continue(browser, make_link(scopes=["read"]))
    assert parse_query(url)["scope"] == "read offline"


def test_provider_with_unknown_pkce_gets_none(browser, app, alpha, change_oauth):
    change_oauth(pkce=None)
    alpha.checks_pkce = False
    response = exchange_code_at_api(app, approve_and_get_code(browser, app, alpha))
    assert response.status_code == 200, response.content
    (call,) = alpha.token_calls
    assert "code_verifier" not in call
