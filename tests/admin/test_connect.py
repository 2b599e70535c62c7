"""Connect links and attempts in the admin."""

from __future__ import annotations

from typing import Any

from credentials.connect.link_request import LinkRequest
from credentials.connect.models import AuthorizationAttempt, ConnectLink
from credentials.connect.services import link_create
from tests.admin.pages import address, errors, text
from tests.factories import TESTER, make_app

RETURN = "https://acme.example/connected"


def link_fields(account: Any, **more: Any) -> dict[str, Any]:
    return {"account": account.pk, "kind": "stripe_key", "hours": "24", "scopes": "", **more}


def test_a_new_link_is_displayed_once(browser, account):
    page = browser.post(address(ConnectLink, "add"), link_fields(account, name="Ann"))
    assert page.status_code == 200
    link = ConnectLink.objects.get()
    assert link.name == "Ann"
    assert link.created_by.startswith("user:")
    assert "/connect/" in text(page)
    change = browser.get(address(ConnectLink, "change", link.pk))
    assert "/connect/" not in text(change).replace("/admin/connect/", "")
    assert "Ann" in text(change)


def test_errors_of_the_service_are_errors_of_their_field(browser, account):
    page = browser.post(
        address(ConnectLink, "add"), link_fields(account, return_to="https://evil.example/")
    )
    assert "return_to" in errors(page)
    assert not ConnectLink.objects.exists()


def test_add_a_link_with_an_app(browser, account):
    app = make_app(account, "linear", redirect_uris=[RETURN])
    sent = link_fields(account, kind="linear_oauth2", oauth_app=app.pk, return_to=RETURN)
    sent["external_id"] = "customer-1"
    assert browser.post(address(ConnectLink, "add"), sent).status_code == 200
    assert ConnectLink.objects.get().oauth_app_id == app.pk


def test_a_deleted_link_is_cancelled(browser, account):
    link_create(account_id=account.id, link_request=LinkRequest(kind="stripe_key"), actor=TESTER)
    link = ConnectLink.objects.get()
    browser.post(address(ConnectLink, "delete", link.pk), {"post": "yes"})
    assert ConnectLink.objects.get().status == "cancelled"


def test_list_of_attempts_has_the_reason_of_a_failure(browser, account):
    app = make_app(account, "linear")
    AuthorizationAttempt.objects.create(
        account=account,
        oauth_app=app,
        flow="authorize",
        kind="linear_oauth2",
        status="failed",
        callback="http://testserver/link/oauth2/callback/linear",
        failure={"code": "access_denied", "detail": "The user did not give access.", "time": ""},
        created_by="browser",
        expires_at="2026-11-21T10:00:00Z",
    )
    page = browser.get(address(AuthorizationAttempt, "changelist"))
    assert "The user did not give access. (access_denied)" in text(page)
    for query, count in (("status=failed", 1), ("status=granted", 0), ("flow=link", 0)):
        shown = browser.get(f"{address(AuthorizationAttempt, 'changelist')}?{query}")
        assert shown.context["cl"].result_count == count
    attempt = AuthorizationAttempt.objects.get()
    assert browser.get(address(AuthorizationAttempt, "change", attempt.pk)).status_code == 200
    assert browser.get(address(AuthorizationAttempt, "add")).status_code == 403
