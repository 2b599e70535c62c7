"""No token, code, state, verifier or link URL stays in a table, log or page after a flow."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.test import Client

from config.logging import redact
from credentials.connect.tokens import generate_token
from tests.credentials.connect.flows import (
    Browser,
    approve_and_get_code,
    exchange_code_at_api,
    parse_query,
    press_continue,
    start_flow,
)
from tests.project.canaries import dump_database, find_leaks

ACCESS, REFRESH = "Wq7connectAccess83zTyU", "Lp2connectRefresh41xVbN"
ENTERED = "Gh5connectTyped96mKjO"


@pytest.fixture
def log(caplog) -> Any:
    caplog.set_level(logging.DEBUG)
    return caplog


def build_token_response(**more: Any) -> tuple[int, dict[str, Any]]:
    response = {"access_token": ACCESS, "refresh_token": REFRESH, "token_type": "Bearer"}
    return 200, {**response, "workspace": {"id": "ws-1", "name": "One"}, **more}


def get_browser_secret(browser: Browser) -> list[tuple[str, str]]:
    return [("cookie", browser.client.cookies["connect"].value)]


def test_documented_flow_leaks_no_secret(browser, app, alpha, api, log):
    alpha.token_response = build_token_response()
    address = start_flow(browser, app)
    callback_url = alpha.approve(address)
    back = browser.open(callback_url)
    code = parse_query(back["Location"])["code"]
    document = exchange_code_at_api(app, code).json()
    stored = api.post("/v1/credentials", document["credential"])
    exchange_code_at_api(app, code)
    verifier = alpha.token_calls[0]["code_verifier"]
    secrets = [
        ("access", ACCESS),
        ("refresh", REFRESH),
        ("code", code),
        ("provider's code", parse_query(callback_url)["code"] + "&"),
        ("state", parse_query(address)["state"]),
        ("verifier", verifier),
        ("company's state", "company-state"),
        *get_browser_secret(browser),
    ]
    assert list(find_leaks(dump_database(), secrets)) == []
    assert list(find_leaks(log.text.encode(), secrets)) == []
    assert list(find_leaks(stored.content, secrets)) == []


def test_link_leaks_no_secret(browser, make_link, alpha, api, log):
    alpha.token_response = build_token_response()
    link = make_link()
    page = browser.follow_redirects(link["url"])
    address = press_continue(browser, link)
    back = browser.open(alpha.approve(address))
    completion = api.post(f"/v1/connect-links/{link['id']}/complete")
    document = api.get(f"/v1/connect-links/{link['id']}")
    secrets = [("access", ACCESS), ("refresh", REFRESH), ("state", parse_query(address)["state"])]
    link_token = ("link", link["url"].rpartition("/")[2])
    for response in (page, back, completion, document):
        assert list(find_leaks(response.content, secrets)) == []
    for where in (dump_database(), document.content, back["Location"].encode()):
        assert list(find_leaks(where, [*secrets, link_token, *get_browser_secret(browser)])) == []


@pytest.mark.parametrize(
    "response",
    [
        (200, {"access_token": ACCESS, "refresh_token": REFRESH}),
        (400, {"error": "invalid_grant", "error_description": f"{ACCESS} {REFRESH}"}),
        (500, {"access_token": ACCESS, "refresh_token": REFRESH}),
        (200, {"access_token": ACCESS, "refresh_token": [REFRESH], "token_type": "Bearer"}),
    ],
    ids=["no identity", "refused", "broken", "wrong shape"],
)
def test_failed_exchange_leaks_no_secret(browser, app, alpha, log, response):
    alpha.token_response = response
    page = browser.open(alpha.approve(start_flow(browser, app)))
    assert page.status_code in {400, 503}
    secrets = [("access", ACCESS), ("refresh", REFRESH)]
    for where in (page.content, dump_database(), log.text.encode()):
        assert list(find_leaks(where, secrets)) == []


def test_form_leaks_no_secret(browser, api, app, log):
    link = api.post("/v1/connect-links", {"kind": "alpha_key"}).json()
    browser.follow_redirects(link["url"])
    wrong = browser.post(link["url"], {"key": ENTERED, "region": "moon"})
    right = browser.post(link["url"], {"key": ENTERED})
    end = browser.open(right["Location"])
    assert (wrong.status_code, end.status_code) == (422, 200)
    for where in (wrong.content, end.content, dump_database(), log.text.encode()):
        assert list(find_leaks(where, [("entered", ENTERED)])) == []


def test_urls_with_tokens_are_not_logged(browser, make_link, api, app, log):
    link = make_link()["url"]
    browser.follow_redirects(link)
    other = Browser()
    other.client = Client(enforce_csrf_checks=True)
    for path in ("", "/continue", "/back"):
        other.follow_redirects(link + path)
    other.post(f"{link}/cancel")
    browser.client.put(link)
    body = {"oauth_app_id": str(app.id), "credential_kind": "alpha_oauth2"}
    body["redirect_url"] = app.redirect_uris[0]
    start = api.post("/v1/credentials/start-auth", body).json()["start_url"]
    for _ in range(2):
        browser.open(start)
    secrets = [(url, url.rpartition("/")[2]) for url in (link, start)]
    assert "connect page" in log.text
    assert list(find_leaks(log.text.encode(), secrets)) == []


def test_pending_grant_is_encrypted(browser, app, alpha):
    alpha.token_response = build_token_response()
    approve_and_get_code(browser, app, alpha)
    assert list(find_leaks(dump_database(), [("access", ACCESS), ("refresh", REFRESH)])) == []


def test_server_error_leaks_no_secret(browser, app, alpha, monkeypatch, log):
    """Check that the logged traceback has no values of local variables."""
    alpha.token_response = build_token_response()

    def raise_error(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(sys.modules["credentials.connect.callback"], "grant_store", raise_error)
    page = browser.open(alpha.approve(start_flow(browser, app)))
    assert page.status_code == 500
    for where in (page.content, log.text.encode()):
        assert list(find_leaks(where, [("access", ACCESS), ("refresh", REFRESH)])) == []


@pytest.mark.parametrize("line", ["Not Found: /connect/{}/", "Forbidden: /link/oauth2/start/{}"])
def test_log_redacts_tokens_in_paths(line):
    """Redact the paths that Django logs for a missing page or a bad form."""
    token = generate_token()
    assert token not in redact(None, "", {"event": line.format(token)})["event"]
