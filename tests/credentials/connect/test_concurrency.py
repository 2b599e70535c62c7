"""Concurrent requests for one link, grant, app or settings row."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from credentials.connect import callback
from credentials.connect.models import AuthorizationAttempt, ConnectLink, PendingGrant
from credentials.connect.services import grant_expire, link_withdraw
from credentials.connect.tasks import ACTOR
from credentials.models import Revocation
from tests.credentials.connect.flows import (
    approve_and_get_code,
    complete_link,
    connect_by_link,
    exchange_code_at_api,
    fetch_link,
    get_failure_code,
    press_continue,
    start_flow,
)
from tests.credentials.connect.test_expiry import run_expire_task
from tests.factories import TESTER
from tests.threads import run_concurrently, wait_for_lock_wait
from vault.sealing import SealedValue


@pytest.mark.django_db(transaction=True)
def test_concurrent_first_updates_of_app_settings(api, app):
    path = f"/v1/oauth-apps/{app.id}/connect-settings"
    statuses = run_concurrently(
        lambda _: api.patch(path, {"completes_itself": True}).status_code, 8
    )
    assert statuses == [200] * 8


@pytest.mark.django_db(transaction=True)
def test_concurrent_first_updates_of_account_settings(api):
    body = {"return_urls": ["https://acme.example/a"]}
    statuses = run_concurrently(lambda _: api.patch("/v1/connect-settings", body).status_code, 8)
    assert statuses == [200] * 8


def test_failure_in_second_tab_does_not_change_completed_link(api, browser, make_link, alpha):
    link = make_link()
    first, second = press_continue(browser, link), press_continue(browser, link)
    browser.open(alpha.approve(first))
    complete_link(api, link)
    assert browser.open(alpha.approve(second)).status_code == 410
    assert fetch_link(api, link)["status"] == "completed"
    assert fetch_link(api, link)["failure"] is None


@pytest.mark.parametrize(("user", "revoked"), [("ann", 0), ("eve", 1)])
def test_second_tab_does_not_revoke_pending_grant(browser, make_link, alpha, user, revoked):
    link = make_link()
    first, second = press_continue(browser, link), press_continue(browser, link)
    browser.open(alpha.approve(first))
    alpha.user = user
    assert browser.open(alpha.approve(second)).status_code == 410
    assert Revocation.objects.count() == revoked


@pytest.mark.parametrize("exchanged", [False, True])
def test_app_with_pending_grant_cannot_be_deleted(api, browser, app, alpha, exchanged):
    code = approve_and_get_code(browser, app, alpha)
    if exchanged:
        exchange_code_at_api(app, code)
    response = api.delete(f"/v1/oauth-apps/{app.id}")
    assert response.status_code == 409
    assert "in progress" in response.json()["detail"]
    assert response["Retry-After"] == "600"


def test_callback_fails_if_app_was_deleted(api, browser, app, alpha):
    address = alpha.approve(start_flow(browser, app))
    assert api.delete(f"/v1/oauth-apps/{app.id}").status_code == 204
    assert browser.open(address).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_callback_fails_if_app_is_deleted_during_exchange(api, browser, app, alpha, monkeypatch):
    address = alpha.approve(start_flow(browser, app))
    exchange_code: Any = vars(callback)["exchange_code"]

    def exchange_and_delete_app(*args: Any, **kwargs: Any) -> Any:
        tokens = exchange_code(*args, **kwargs)
        assert api.delete(f"/v1/oauth-apps/{app.id}").status_code == 204
        return tokens

    monkeypatch.setattr(callback, "exchange_code", exchange_and_delete_app)
    response = browser.open(address)
    assert response.status_code == 400
    assert b"OAuth app was deleted" in response.content
    assert not PendingGrant.objects.exists()


def test_killed_exchange_is_marked_as_interrupted(browser, app, alpha, settings):
    start_flow(browser, app)
    AuthorizationAttempt.objects.update(status="returned", sealed=None)
    settings.CLOCK_SHIFT_SECONDS = 601
    run_expire_task()
    assert AuthorizationAttempt.objects.get().status == "returned"
    settings.CLOCK_SHIFT_SECONDS = 661
    run_expire_task()
    assert AuthorizationAttempt.objects.get().status == "failed"
    assert get_failure_code() == "interrupted"


def test_restored_key_does_not_complete_expired_link(api, browser, make_link, alpha, settings):
    link = make_link()
    connect_by_link(browser, link, alpha)
    sealed = PendingGrant.objects.get().sealed
    PendingGrant.objects.update(sealed=SealedValue(b"\x00damaged"))
    settings.CLOCK_SHIFT_SECONDS = 601
    run_expire_task()
    PendingGrant.objects.update(sealed=sealed)
    assert complete_link(api, link).status_code == 409
    assert fetch_link(api, link)["status"] == "expired"
    settings.CLOCK_SHIFT_SECONDS = 4300
    run_expire_task()
    assert Revocation.objects.count() == 1


@pytest.fixture
def pending_and_late(browser: Any, make_link: Any, alpha: Any, settings: Any) -> ConnectLink:
    connect_by_link(browser, make_link(), alpha)
    settings.CLOCK_SHIFT_SECONDS = 601
    return ConnectLink.objects.get()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")
def test_link_is_withdrawn_while_its_grant_expires(pending_and_late):
    """Check that both lock the link before the grant, so that neither deadlocks."""
    link, grant = pending_and_late, PendingGrant.objects.get()
    failed: list[Exception] = []

    def expire_grant() -> None:
        try:
            grant_expire(id=grant.id, actor=ACTOR)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    sweeper = threading.Thread(target=expire_grant)
    with transaction.atomic():
        ConnectLink.objects.select_for_update().get(id=link.id)
        sweeper.start()
        wait_for_lock_wait()
        link_withdraw(account_id=link.account_id, id=link.id, actor=TESTER)
    sweeper.join()
    assert failed == []
    assert Revocation.objects.count() == 1
    assert ConnectLink.objects.get().status == "cancelled"
