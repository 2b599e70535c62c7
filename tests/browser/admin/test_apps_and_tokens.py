"""Who calls and who is called: OAuth apps, API tokens, webhook endpoints, connect links."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account, ApiToken
from credentials.connect.models import ConnectLink
from oauth_apps.models import OAuthApp
from tests.browser.admin.conftest import PASSWORD, choose_all
from tests.browser.conftest import CHROMIUM
from tests.browser.navigation import follow, press
from tests.factories import make_app, make_credential, make_linear_body, make_token
from webhooks.models import WebhookEndpoint

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
APPS = "/admin/oauth_apps/oauthapp/"


def test_app_secret_is_never_displayed(page: Any, account: Account) -> None:
    page.goto(f"{APPS}add/")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Provider:").select_option("linear")
    page.get_by_label("Name:").fill("Issue sync")
    page.get_by_label("Client ID:").fill("client-1")
    page.get_by_label("Client secret:").fill("app-secret-typed")
    press(page, "Save")
    app = OAuthApp.objects.get()
    page.goto(f"{APPS}{app.pk}/change/")
    assert page.get_by_label("Client secret:").input_value() == ""
    assert "app-secret-typed" not in page.content()
    address = page.locator("code.lk-token").inner_text()
    assert address.endswith(f"/link/oauth2/callback/linear/{app.pk}")
    assert "Register this redirect URI at the provider" in page.inner_text("main")


def test_app_in_use_is_not_deleted(page: Any, account: Account) -> None:
    app = make_app(account, name="Issue sync")
    make_credential(account, make_linear_body(app, name="Needs it"))
    page.goto(f"{APPS}{app.pk}/delete/")
    assert "It cannot be deleted now: 1 credential needs it" in page.inner_text("main")
    assert not page.get_by_role("button", name="Yes, I’m sure").count()
    follow(page, "Back to the OAuth app")
    page.locator(".field-dependents a").click()
    page.get_by_role("link", name="Needs it").wait_for()


def test_token_is_displayed_once_then_revoked(page: Any, account: Account) -> None:
    page.goto("/admin/accounts/apitoken/add/")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Name:").fill("billing service")
    page.get_by_label("credentials:read").check()
    page.get_by_label("Your password:").fill(PASSWORD)
    press(page, "Save")
    held = page.locator("code.lk-token").inner_text()
    assert held.startswith("lk_")
    assert ApiToken.objects.get().scopes == ["credentials:read"]
    follow(page, "I have copied it")
    assert held not in page.content()
    choose_all(page, "Revoke selected API tokens")
    assert "API tokens revoked: 1." in page.inner_text(".messagelist")
    assert ApiToken.objects.get().revoked_at is not None


def test_search_finds_tokens_by_their_prefix(page: Any, account: Account) -> None:
    held = make_token(account)
    page.goto("/admin/accounts/apitoken/")
    page.locator("#searchbar").fill(held[:7])
    press(page, "Search")
    assert page.locator("#result_list tbody tr").count() == 1


def test_endpoint_secret_is_displayed_once_and_rotates(page: Any, account: Account) -> None:
    page.goto("/admin/webhooks/webhookendpoint/add/")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("URL:").fill("http://127.0.0.1:9/hook")
    press(page, "Save")
    first = page.locator("code.lk-token").inner_text()
    follow(page, "I have copied it")
    assert first not in page.content()
    choose_all(page, "Rotate the secret of the selected endpoint")
    assert page.locator("code.lk-token").inner_text() not in {"", first}
    assert WebhookEndpoint.objects.get().old_secret_until is not None


def test_connect_link_is_created_and_cancelled(page: Any, account: Account) -> None:
    page.goto("/admin/connect/connectlink/add/")
    page.get_by_label("Account:").select_option(label="Acme")
    page.get_by_label("Kind:").select_option("stripe_key")
    page.get_by_label("Name:").fill("For Ginaz")
    press(page, "Save")
    address = page.locator("code.lk-token").inner_text()
    page.goto(address)
    assert page.get_by_role("heading").first.is_visible()
    link = ConnectLink.objects.get()
    page.goto(f"/admin/connect/connectlink/{link.pk}/delete/")
    press(page, "Yes, I’m sure")
    link.refresh_from_db()
    assert link.status == ConnectLink.Status.CANCELLED
