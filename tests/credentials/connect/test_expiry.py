"""Expiry of grants, links and attempts by the worker, and races for what works once."""

from __future__ import annotations

import datetime as dt

import pytest

from common.db.clock import db_now
from credentials.connect import authorization_attempts
from credentials.connect.models import AuthorizationAttempt, ConnectLink, PendingGrant
from credentials.connect.tasks import EXPIRE_TASK
from credentials.models import Revocation
from tests.credentials.connect.flows import (
    RETURN,
    Browser,
    approve_and_get_code,
    assert_is_page,
    build_authorize_url,
    exchange_code_at_api,
    get_failure_code,
    list_event_verbs,
    list_failure_codes,
    press_continue,
    start_flow,
)
from tests.factories import make_app
from tests.threads import run_concurrently
from vault.sealing import Place, SealedValue, unseal


def run_expire_task() -> int:
    claims = EXPIRE_TASK.claim("tester", 100)
    for claim in claims:
        EXPIRE_TASK.run(claim)
    return len(claims)


def test_task_has_nothing_due_without_rows(db):
    assert EXPIRE_TASK.next_due() is None
    assert run_expire_task() == 0


def test_unexchanged_grant_is_revoked(browser, app, alpha, settings):
    code = approve_and_get_code(browser, app, alpha)
    assert run_expire_task() == 0
    settings.CLOCK_SHIFT_SECONDS = 601
    assert run_expire_task() == 1
    assert not PendingGrant.objects.exists()
    assert get_failure_code() == "not_exchanged"
    revocation = Revocation.objects.get()
    assert revocation.properties["refresh_token"] == "**********"
    assert revocation.sealed is not None
    tokens = unseal(Place.of(revocation, "sealed"), revocation.sealed)
    assert tokens["refresh_token"].startswith("refresh-ann")
    assert list_event_verbs()[-1] == "connect.expired"
    assert exchange_code_at_api(app, code).json()["error"] == "invalid_grant"
    assert run_expire_task() == 0


def test_exchanged_grant_is_deleted_and_not_revoked(browser, app, alpha, settings):
    exchange_code_at_api(app, approve_and_get_code(browser, app, alpha))
    settings.CLOCK_SHIFT_SECONDS = 601
    run_expire_task()
    assert not PendingGrant.objects.exists()
    assert not Revocation.objects.exists()
    assert AuthorizationAttempt.objects.get().status == "granted"


def test_grant_of_uncompleted_link_is_revoked(browser, make_link, alpha, settings, api):
    link = make_link()
    browser.open(alpha.approve(press_continue(browser, link)))
    settings.CLOCK_SHIFT_SECONDS = 601
    run_expire_task()
    assert not PendingGrant.objects.exists()
    assert Revocation.objects.count() == 1
    document = api.get(f"/v1/connect-links/{link['id']}").json()
    assert document["status"] == "expired"
    assert document["failure"]["code"] == "not_completed"
    assert browser.follow_redirects(link["url"]).status_code == 410


def test_links_and_attempts_expire(browser, app, make_link, settings):
    make_link(expires_in=60)
    start_flow(browser, app)
    settings.CLOCK_SHIFT_SECONDS = 601
    assert run_expire_task() == 1
    assert ConnectLink.objects.get().status == "expired"
    attempt = AuthorizationAttempt.objects.get()
    assert attempt.status == "expired"
    settings.CLOCK_SHIFT_SECONDS = 601 + 3601
    run_expire_task()
    assert not AuthorizationAttempt.objects.exists()
    assert "connect_link.expired" in list_event_verbs()


def test_late_callback_after_expiry_says_it_took_too_long(browser, app, alpha, settings):
    address = alpha.approve(start_flow(browser, app))
    settings.CLOCK_SHIFT_SECONDS = 601
    run_expire_task()
    assert b"took too long" in browser.open(address).content
    assert list_failure_codes() == ["state_expired"]


@pytest.mark.parametrize("is_opened", [True, False])
def test_expired_attempt_is_deleted_after_an_hour(api, browser, app, settings, is_opened):
    body = {"oauth_app_id": str(app.id), "credential_kind": "alpha_oauth2"}
    body["redirect_url"] = app.redirect_uris[0]
    url = api.post("/v1/credentials/start-auth", body).json()["start_url"]
    late = 600 if is_opened else 300
    if is_opened:
        browser.open(url)
    settings.CLOCK_SHIFT_SECONDS = late + 3590
    run_expire_task()
    assert AuthorizationAttempt.objects.get().status == "expired"
    due = EXPIRE_TASK.next_due()
    assert due is not None
    assert due <= db_now() + dt.timedelta(seconds=20)
    settings.CLOCK_SHIFT_SECONDS = late + 3601
    run_expire_task()
    assert not AuthorizationAttempt.objects.exists()
    assert EXPIRE_TASK.next_due() is None
    assert b"has expired" in browser.open(url).content


def test_redirect_to_provider_records_no_event(browser, app, make_link):
    start_flow(browser, app)
    press_continue(browser, make_link())
    assert list_event_verbs() == ["connect_link.created", "connect_link.opened"]


def test_attempts_of_an_app_are_limited_per_minute(
    browser, app, account, alpha, make_link, settings, monkeypatch
):
    monkeypatch.setattr(authorization_attempts, "MAX_ATTEMPTS_PER_MINUTE", 2)
    browser.open(alpha.approve(start_flow(browser, app)))
    start_flow(browser, app)
    response = browser.open(build_authorize_url(app))
    assert response.status_code == 429
    assert response["Retry-After"] == "60"
    assert b"Too many people" in response.content
    assert_is_page(response)
    assert AuthorizationAttempt.objects.count() == 2
    # The limit applies neither to another app nor to a link of the same app.
    start_flow(browser, make_app(account, "alpha", redirect_uris=app.redirect_uris))
    press_continue(browser, make_link())
    settings.CLOCK_SHIFT_SECONDS = 61
    start_flow(browser, app)


def test_old_attempts_are_deleted(browser, app, alpha, settings):
    browser.open(alpha.approve(start_flow(browser, app), error="access_denied", code=None))
    settings.CLOCK_SHIFT_SECONDS = 89 * 24 * 3600
    run_expire_task()
    assert AuthorizationAttempt.objects.exists()
    settings.CLOCK_SHIFT_SECONDS = 91 * 24 * 3600
    run_expire_task()
    assert not AuthorizationAttempt.objects.exists()


def test_next_due_is_the_first_expiry(browser, app, make_link):
    make_link(expires_in=3600)
    start_flow(browser, app)
    due = EXPIRE_TASK.next_due()
    assert due is not None
    assert dt.timedelta(minutes=9) < due - db_now() <= dt.timedelta(minutes=10)


def test_unreadable_grant_is_kept_for_a_week(browser, app, alpha, settings):
    approve_and_get_code(browser, app, alpha)
    PendingGrant.objects.update(sealed=SealedValue(b"\x00damaged"))
    settings.CLOCK_SHIFT_SECONDS = 601
    assert run_expire_task() == 1
    assert PendingGrant.objects.exists()
    assert run_expire_task() == 0
    settings.CLOCK_SHIFT_SECONDS = 8 * 24 * 3600
    run_expire_task()
    assert not PendingGrant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_starts_redirect_one_browser(api, app):
    body = {"oauth_app_id": str(app.id), "credential_kind": "alpha_oauth2"}
    body["redirect_url"] = app.redirect_uris[0]
    url = api.post("/v1/credentials/start-auth", body).json()["start_url"]
    statuses = run_concurrently(lambda _: Browser().open(url).status_code, 8)
    assert sorted(statuses) == [303] + [400] * 7


@pytest.mark.django_db(transaction=True)
def test_concurrent_callbacks_exchange_once(browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    cookie = browser.client.cookies["connect"].value

    def open_callback(_: int) -> str:
        tab = Browser()
        tab.client.cookies["connect"] = cookie
        return str(tab.open(address)["Location"])

    locations = run_concurrently(open_callback, 8)
    assert len(set(locations)) == 1
    assert locations[0].startswith(f"{RETURN}?code=")
    assert len(alpha.token_calls) == 1
    assert list_event_verbs() == ["connect.granted"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_exchanges_return_tokens_once(browser, app, alpha):
    code = approve_and_get_code(browser, app, alpha)
    statuses = run_concurrently(lambda _: exchange_code_at_api(app, code).status_code, 8)
    assert sorted(statuses) == [200] + [400] * 7
    assert Revocation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_browsers_claim_link_once(make_link):
    link = make_link()

    browsers = [Browser() for _ in range(8)]
    for each in browsers:
        each.open(link["url"])

    def click(number: int) -> int:
        status: int = browsers[number].post(f"{link['url']}/continue").status_code
        return status

    statuses = run_concurrently(click, 8)
    assert sorted(statuses) == [200] + [403] * 7
