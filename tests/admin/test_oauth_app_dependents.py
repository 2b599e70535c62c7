"""What the page of an OAuth app says of connecting, and of what hangs on it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Account
from common.actors import Actor
from credentials.admin import oauth_app as page
from credentials.connect.services import settings_update
from oauth_apps.models import OAuthApp
from tests.admin.pages import address, text
from tests.factories import make_app, make_credential, make_linear_body, make_link


def get_page(browser: Client, app: OAuthApp, what: str = "change") -> str:
    return text(browser.get(address(OAuthApp, what, app.pk)))


def make_grants(account: Account, app: OAuthApp, count: int) -> None:
    for number in range(count):
        properties = {"linear_org_id": f"org-{number}"}
        make_credential(account, make_linear_body(app, properties=properties))


def test_page_has_the_redirect_uri_to_register(browser: Client, account: Account) -> None:
    app = make_app(account)
    wanted = f"{settings.PUBLIC_URL}/link/oauth2/callback/linear/{app.pk}"
    content = get_page(browser, app)
    assert f'<code class="lk-token">{wanted}</code>' in content
    assert "Register this redirect URI at the provider." in content


def test_page_has_the_short_redirect_uri_if_it_is_set(browser: Client, account: Account) -> None:
    app = make_app(account)
    changes: Any = {"short_callback": True}
    settings_update(account_id=account.pk, app=app, actor=Actor(name="tester"), changes=changes)
    assert f"{settings.PUBLIC_URL}/link/oauth2/callback/linear</code>" in get_page(browser, app)


def test_page_explains_the_return_addresses(browser: Client, account: Account) -> None:
    content = get_page(browser, make_app(account))
    assert "Addresses that people may return to after connecting, one on each line." in content
    assert "noted above" not in content


def test_dependents_are_counted_and_linked(browser: Client, account: Account) -> None:
    app, other = make_app(account), make_app(account)
    make_grants(account, app, 2)
    make_credential(account, make_linear_body(other))
    link = f"/admin/credentials/credential/?oauth_app={app.pk}"
    content = get_page(browser, app)
    assert f'<a href="{link}">2</a>' in content
    assert "It cannot be deleted now: 2 credentials need it" in content
    listed = text(browser.get(link))
    assert listed.count('name="_selected_action"') == 2


def test_dependents_are_counted_up_to_a_limit(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_COUNT", 1)
    app = make_app(account)
    make_grants(account, app, 3)
    assert "more than 1</a>" in get_page(browser, app)


def test_unused_app_names_the_consequences(browser: Client, account: Account) -> None:
    app = make_app(account)
    make_link(account, kind="linear_oauth2", oauth_app_id=app.pk)
    for what in ("change", "delete"):
        content = get_page(browser, app, what)
        assert "It can be deleted: no credential depends on it." in content
        assert "Without it 1 open connect link stops working." in content
        assert "The provider is not notified" in content


def test_app_in_use_is_not_deleted(browser: Client, account: Account) -> None:
    app = make_app(account)
    make_grants(account, app, 1)
    response = browser.post(address(OAuthApp, "delete", app.pk), {"post": "yes"})
    assert "It cannot be deleted now: 1 credential needs it" in text(response)
    assert OAuthApp.objects.filter(pk=app.pk).exists()


def test_bulk_delete_confirmation_names_consequences_of_each(
    browser: Client, account: Account
) -> None:
    used, free = make_app(account), make_app(account)
    make_grants(account, used, 1)
    chosen = [str(used.pk), str(free.pk)]
    action = {"action": "delete_selected", "_selected_action": chosen}
    content = text(browser.post(address(OAuthApp, "changelist"), action))
    assert "1 credential needs it" in content
    assert "no credential depends on it" in content


def test_viewer_sees_the_dependents(account: Account, staff_client: Any) -> None:
    app = make_app(account)
    content = get_page(staff_client("Viewer"), app)
    assert "/link/oauth2/callback/linear/" in content
    assert "if it is deleted" in content.lower()


@pytest.fixture
def app(account: Account) -> OAuthApp:
    return make_app(account)


def test_page_decrypts_nothing(browser: Client, app: OAuthApp, no_unsealing: None) -> None:
    assert browser.get(address(OAuthApp, "change", app.pk)).status_code == 200
