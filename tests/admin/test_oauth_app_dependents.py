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


def shown(browser: Client, app: OAuthApp, what: str = "change") -> str:
    return text(browser.get(address(OAuthApp, what, app.pk)))


def grants(account: Account, app: OAuthApp, count: int) -> None:
    for number in range(count):
        properties = {"linear_org_id": f"org-{number}"}
        make_credential(account, make_linear_body(app, properties=properties))


def test_the_redirect_uri_to_register_is_shown_whole(browser: Client, account: Account) -> None:
    app = make_app(account)
    wanted = f"{settings.PUBLIC_URL}/link/oauth2/callback/linear/{app.pk}"
    said = shown(browser, app)
    assert f'<code class="lk-token">{wanted}</code>' in said
    assert "Register this redirect URI at the provider." in said


def test_the_short_form_is_shown_where_it_was_chosen(browser: Client, account: Account) -> None:
    app = make_app(account)
    changes: Any = {"short_callback": True}
    settings_update(account_id=account.pk, app=app, actor=Actor(name="tester"), changes=changes)
    assert f"{settings.PUBLIC_URL}/link/oauth2/callback/linear</code>" in shown(browser, app)


def test_it_is_not_measured_by_where_people_are_sent_back_to(
    browser: Client, account: Account
) -> None:
    said = shown(browser, make_app(account))
    assert "Where people may be sent back to after connecting, one on each line." in said
    assert "noted above" not in said


def test_the_dependents_are_counted_and_lead_to_their_list(
    browser: Client, account: Account
) -> None:
    app, other = make_app(account), make_app(account)
    grants(account, app, 2)
    make_credential(account, make_linear_body(other))
    link = f"/admin/credentials/credential/?oauth_app={app.pk}"
    said = shown(browser, app)
    assert f'<a href="{link}">2</a>' in said
    assert "It cannot be deleted now: 2 credentials need it" in said
    listed = text(browser.get(link))
    assert listed.count('name="_selected_action"') == 2


def test_they_are_counted_no_further_than_a_page_can_wait(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MAX_COUNT", 1)
    app = make_app(account)
    grants(account, app, 3)
    assert "more than 1</a>" in shown(browser, app)


def test_an_unused_one_says_what_goes_with_it(browser: Client, account: Account) -> None:
    app = make_app(account)
    make_link(account, kind="linear_oauth2", oauth_app_id=app.pk)
    for what in ("change", "delete"):
        said = shown(browser, app, what)
        assert "It can be deleted: no credential depends on it." in said
        assert "Without it 1 open connect link stops working." in said
        assert "The provider is not notified" in said


def test_one_that_is_needed_stays_whatever_is_posted(browser: Client, account: Account) -> None:
    app = make_app(account)
    grants(account, app, 1)
    answer = browser.post(address(OAuthApp, "delete", app.pk), {"post": "yes"})
    assert "It cannot be deleted now: 1 credential needs it" in text(answer)
    assert OAuthApp.objects.filter(pk=app.pk).exists()


def test_the_page_before_deleting_many_says_it_of_each(browser: Client, account: Account) -> None:
    used, free = make_app(account), make_app(account)
    grants(account, used, 1)
    chosen = [str(used.pk), str(free.pk)]
    action = {"action": "delete_selected", "_selected_action": chosen}
    said = text(browser.post(address(OAuthApp, "changelist"), action))
    assert "1 credential needs it" in said
    assert "no credential depends on it" in said


def test_a_viewer_sees_it_too(account: Account, staff_client: Any) -> None:
    app = make_app(account)
    said = shown(staff_client("Viewer"), app)
    assert "/link/oauth2/callback/linear/" in said
    assert "if it is deleted" in said.lower()


@pytest.fixture
def app(account: Account) -> OAuthApp:
    return make_app(account)


def test_no_seal_is_opened_for_it(browser: Client, app: OAuthApp, no_unsealing: None) -> None:
    assert browser.get(address(OAuthApp, "change", app.pk)).status_code == 200
