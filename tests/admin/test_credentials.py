from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Account
from credentials.models import Credential
from credentials.services import credential_update
from events.models import Event
from tests.admin.pages import address, errors, form_values, text
from tests.factories import (
    TESTER,
    linear_body,
    make_account,
    make_app,
    make_credential,
    stripe_body,
)

SECRET = "sk_live_CANARY7f3a"
ADD = address(Credential, "add")
LIST = address(Credential, "changelist")


def _add(browser: Client, account: Account, properties: Any = None, **more: str) -> Any:
    pasted = properties or {"kind": "stripe_key", "secret": SECRET}
    text = pasted if isinstance(pasted, str) else json.dumps(pasted)
    return browser.post(ADD, {"account": account.pk, "properties": text, **more})


def _edit(browser: Client, credential: Credential, **typed: str) -> Any:
    page = address(Credential, "change", credential.pk)
    return browser.post(page, form_values(browser.get(page)) | typed)


def test_adding_imports(browser: Client, account: Account, superuser: User) -> None:
    response = _add(browser, account, name="Billing", metadata='{"env": "prod"}')
    assert response.status_code == 302
    row = Credential.objects.get()
    assert (row.name, row.metadata) == ("Billing", {"env": "prod"})
    assert row.properties["secret"] == "**********"
    event = Event.objects.get(verb="credential.created")
    assert (event.actor, event.ip) == (f"user:{superuser.pk}", "127.0.0.1")
    assert event.request_id == response["X-Request-Id"]


def test_adding_with_an_app(browser: Client, account: Account) -> None:
    app = make_app(account)
    body = linear_body(app)
    response = _add(browser, account, body["properties"], oauth_app=str(app.pk))
    assert response.status_code == 302
    assert Credential.objects.get().oauth_app == app


def test_adding_what_is_there_says_so(browser: Client, account: Account) -> None:
    make_credential(account, stripe_body(SECRET))
    response = _add(browser, account, stripe_body(SECRET)["properties"])
    shown = text(browser.get(response["Location"]))
    assert "was there already: its credential is unchanged" in shown
    assert Credential.objects.count() == 1


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"kind": "stripe_key", "secret": SECRET, "tset": 1}, "tset: unknown field"),
        ({"kind": "nothing", "secret": SECRET}, "kind: unknown"),
        ({"secret": SECRET}, "kind: is required"),
        ([SECRET], "Must be an object"),
        ('{"kind": "stripe_key", "secret": "sk_live_CANARY7f3a",}', "does not parse at line 1"),
        ('{"kind": "stripe_key", "kind": "stripe_key"}', "the same name twice"),
        ('{"kind": "stripe_key", "test": NaN}', "NaN"),
        ("[" * 50_000, "nested too deeply"),
        (" ", "This field is required."),
    ],
)
def test_wrong_properties_are_refused_beside_their_box_and_not_echoed(
    browser: Client, account: Account, properties: Any, reason: str
) -> None:
    response = _add(browser, account, properties)
    assert response.status_code == 200
    assert reason in str(errors(response)["properties"])
    assert SECRET not in text(response)
    assert not Credential.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("field", "typed", "reason"),
    [
        ("metadata", '{"a": null, "a": 1}', "the same name twice"),
        ("metadata", "[]", "Must be an object"),
        ("metadata", '{"a": Infinity}', "Infinity"),
        ("owner_email", "nobody", "Must be an e-mail address"),
        ("name", "a\u202eb", "control character"),
    ],
)
def test_other_wrong_fields_are_refused_beside_their_box(
    browser: Client, account: Account, field: str, typed: str, reason: str
) -> None:
    response = _add(browser, account, **{field: typed})
    assert reason in str(errors(response)[field])
    assert not Credential.objects.exists()


def test_the_app_of_another_account_is_refused(browser: Client, account: Account) -> None:
    app = make_app(make_account())
    properties = linear_body(app)["properties"]
    response = _add(browser, account, properties, oauth_app=str(app.pk))
    assert "There is no such OAuth app" in str(errors(response)["oauth_app"])


def test_editing_updates(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    response = _edit(browser, credential, name="Renamed", metadata='{"a": [1]}')
    assert response.status_code == 302
    credential.refresh_from_db()
    assert (credential.name, credential.metadata) == ("Renamed", {"a": [1]})
    assert sorted(Event.objects.get(verb="credential.updated").changed) == ["metadata", "name"]


@pytest.fixture
def credential(account: Account) -> Credential:
    return make_credential(account)


def test_editing_opens_no_seal(browser: Client, credential: Credential, no_unsealing: None) -> None:
    assert _edit(browser, credential, name="Renamed").status_code == 302


def test_a_name_can_be_cleared(browser: Client, account: Account) -> None:
    credential = make_credential(account, stripe_body(name="Old"))
    _edit(browser, credential, name="", owner_email="")
    credential.refresh_from_db()
    assert credential.name == ""


def test_saving_nothing_new_writes_no_event(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    assert _edit(browser, credential).status_code == 302
    assert not Event.objects.filter(verb="credential.updated").exists()


def test_a_wrong_edit_changes_nothing(browser: Client, account: Account) -> None:
    credential = make_credential(account, stripe_body(name="Old"))
    response = _edit(browser, credential, name="New", owner_email="nobody")
    assert response.status_code == 200
    assert "owner_email" in errors(response)
    credential.refresh_from_db()
    assert credential.name == "Old"


def test_an_edit_of_what_has_changed_since_is_refused(browser: Client, account: Account) -> None:
    credential = make_credential(account, stripe_body(name="First"))
    page = address(Credential, "change", credential.pk)
    seen = form_values(browser.get(page))
    credential_update(
        account_id=account.id, id=credential.id, actor=TESTER, changes={"name": "Second"}
    )
    response = browser.post(page, seen | {"name": "Third"})
    assert "has changed since it was read" in text(response)
    credential.refresh_from_db()
    assert credential.name == "Second"


def test_the_page_shows_masked_properties_health_and_events(
    browser: Client, account: Account
) -> None:
    credential = make_credential(account)
    shown = text(browser.get(address(Credential, "change", credential.pk)))
    assert '"secret": "**********"' in shown
    assert '<span class="lk-badge lk-unknown">unknown</span>' in shown
    assert "<td>credential.created</td>" in shown


def test_what_is_stored_is_escaped(browser: Client, account: Account) -> None:
    body = stripe_body(name="<script>alert(1)</script>", metadata={"x": "<img src=x onerror=y>"})
    credential = make_credential(account, body)
    for page in (LIST, address(Credential, "change", credential.pk)):
        content = browser.get(page).content.decode()
        assert "<script>alert" not in content
        assert "<img src=x" not in content


def test_the_history_names_fields_and_never_values(browser: Client, account: Account) -> None:
    _add(browser, account, metadata='{"note": "VALUE9"}')
    _edit(browser, Credential.objects.get(), metadata='{"note": "OTHER9"}')
    browser.post(address(Credential, "delete", Credential.objects.get().pk), {"post": "yes"})
    entries = list(LogEntry.objects.values_list("change_message", "object_repr"))
    assert len(entries) == 3
    assert "metadata" in str(entries).lower()
    assert not [mark for mark in (SECRET, "VALUE9", "OTHER9") if mark in str(entries)]
