from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from accounts.models import Account
from events.models import Event
from oauth_apps.models import OAuthApp, OAuthAppSecret
from oauth_apps.services import oauth_app_reveal_secret
from tests.admin.pages import address, errors, form_values, text
from tests.factories import TESTER, make_app, make_credential, make_linear_body

ADD = address(OAuthApp, "add")
LIST = address(OAuthApp, "changelist")
SECRET = "app-CANARY7f3a"


def _add(browser: Client, account: Account, **typed: str) -> Any:
    values = {
        "account": account.pk,
        "provider": "linear",
        "name": "Acme - Linear",
        "client_id": "client-x",
        "client_secret": SECRET,
    }
    return browser.post(ADD, values | typed)


def _edit(browser: Client, app: OAuthApp, **typed: str) -> Any:
    page = address(OAuthApp, "change", app.pk)
    return browser.post(page, form_values(browser.get(page)) | typed)


def decrypt_newest(app: OAuthApp) -> str:
    return oauth_app_reveal_secret(account_id=app.account_id, id=app.id, actor=TESTER)


def test_add_stores_the_secret_encrypted(browser: Client, account: Account) -> None:
    response = _add(browser, account, scopes="read\nwrite\n", redirect_uris="https://a.example/cb")
    assert response.status_code == 302
    app = OAuthApp.objects.get()
    assert (app.scopes, app.redirect_uris) == (["read", "write"], ["https://a.example/cb"])
    assert decrypt_newest(app) == SECRET
    assert Event.objects.get(verb="oauth_app.created").actor.startswith("user:")


@pytest.mark.parametrize(
    ("field", "typed", "reason"),
    [
        ("provider", "nobody", "Select a valid choice"),
        ("redirect_uris", "http://a.example/cb", "must start with https://"),
        ("redirect_uris", "https://a.example\nhttps://a.example", "the same value twice"),
        ("config", '{"host": "x"}', "host: unknown variable"),
        ("config", '{"a": 1, "a": 2}', "the same name twice"),
        ("metadata", "[1]", "Must be an object"),
        ("client_secret", "**********", "Is the mask"),
        ("name", "a\u202eb", "control character"),
        ("client_id", "x" * 256, "at most 255"),
    ],
)
def test_invalid_value_is_an_error_of_its_field_without_the_secret(
    browser: Client, account: Account, field: str, typed: str, reason: str
) -> None:
    response = _add(browser, account, **{field: typed})
    assert reason.lower() in str(errors(response)[field]).lower()
    assert SECRET not in text(response)
    assert not OAuthApp.objects.exists()


def test_used_client_id_is_an_error_of_the_form(browser: Client, account: Account) -> None:
    make_app(account, client_id="client-x")
    response = _add(browser, account)
    assert response.status_code == 200
    assert "There is an OAuth app with this provider and client_id already." in text(response)
    assert OAuthApp.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_edit_keeps_a_secret_that_is_left_blank(browser: Client, account: Account) -> None:
    app = make_app(account, client_secret="first")
    assert _edit(browser, app, name="Renamed").status_code == 302
    assert decrypt_newest(app) == "first"
    assert Event.objects.get(verb="oauth_app.updated").changed == ["name"]


def test_edit_keeps_the_former_secret_as_the_second(browser: Client, account: Account) -> None:
    app = make_app(account, client_secret="first")
    _edit(browser, app, client_secret="second")
    assert decrypt_newest(app) == "second"
    assert app.secrets.count() == 2


def test_edit_can_discard_the_former_secret(browser: Client, account: Account) -> None:
    app = make_app(account, client_secret="first")
    _edit(browser, app, client_secret="second", drop_old_secret="on")
    assert app.secrets.count() == 1
    assert decrypt_newest(app) == "second"


def test_secret_loses_the_spaces_around_it(browser: Client, account: Account) -> None:
    _add(browser, account, client_secret=" spa ced ")
    assert decrypt_newest(OAuthApp.objects.get()) == "spa ced"


def test_edit_ignores_provider_and_client_id(browser: Client, account: Account) -> None:
    app = make_app(account, client_id="client-x")
    _edit(browser, app, provider="stripe", client_id="client-y")
    app.refresh_from_db()
    assert (app.provider, app.client_id) == ("linear", "client-x")


def test_page_has_masked_secrets_with_their_age(browser: Client, account: Account) -> None:
    app = make_app(account, client_secret="first-CANARY")
    _edit(browser, app, client_secret="second-CANARY")
    shown = text(browser.get(address(OAuthApp, "change", app.pk)))
    assert shown.count("<code>**********</code> added ") == 2
    assert "CANARY" not in shown


def test_app_in_use_is_not_deleted(browser: Client, account: Account) -> None:
    app = make_app(account)
    make_credential(account, make_linear_body(app))
    response = browser.post(address(OAuthApp, "delete", app.pk), {"post": "yes"}, follow=True)
    assert "1 credential" in text(response)
    assert "use" in text(response)
    assert OAuthApp.objects.exists()
    assert not LogEntry.objects.exists()


def test_unused_app_is_deleted_with_its_secrets(browser: Client, account: Account) -> None:
    app = make_app(account)
    browser.post(address(OAuthApp, "delete", app.pk), {"post": "yes"})
    assert not OAuthApp.objects.exists()
    assert not OAuthAppSecret.objects.exists()
    assert Event.objects.filter(verb="oauth_app.deleted").exists()


def test_bulk_delete_keeps_apps_in_use(browser: Client, account: Account) -> None:
    used, free = make_app(account, name="Used"), make_app(account)
    make_credential(account, make_linear_body(used))
    chosen = [str(used.pk), str(free.pk)]
    action = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    shown = text(browser.post(LIST, action, follow=True))
    assert "Deleted 1 OAuth app." in shown
    assert "Used: 1 credential" in shown
    assert list(OAuthApp.objects.all()) == [used]
    assert LogEntry.objects.count() == 1


def test_history_has_no_secret(browser: Client, account: Account) -> None:
    _add(browser, account)
    _edit(browser, OAuthApp.objects.get(), client_secret="other-CANARY7f3a")
    entries = str(list(LogEntry.objects.values_list("change_message", "object_repr")))
    assert "client_secret" in entries.lower().replace(" ", "_")
    assert "CANARY7f3a" not in entries
