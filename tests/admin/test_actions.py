"""Actions on selected rows, and the page of one row."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account
from common.errors import ConflictError
from credentials.models import Credential, Grant
from events.models import Event
from tests.admin.pages import address, text
from tests.factories import make_app, make_credential, make_linear_body, make_stripe_body

LIST = address(Credential, "changelist")


def run_action(browser: Client, action: str, *rows: Credential) -> Any:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return browser.post(LIST, chosen, follow=True)


def test_check_reports_the_result_of_each_row(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (make_credential(account, make_stripe_body(name=name)) for name in ("One", "Two"))
    asked = []

    def check(*, account_id: Any, id: Any, actor: Any) -> None:
        asked.append((account_id, actor.name.partition(":")[0]))
        if id == two.pk:
            raise ConflictError("Not now.")

    monkeypatch.setattr("credentials.admin.actions.credential_check", check)
    shown = text(run_action(browser, "check_now", one, two))
    assert "One: unknown." in shown
    assert "Two: Not now." in shown
    assert asked == [(account.pk, "user")] * 2


def test_check_on_the_change_page_returns_to_it(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, asked = make_credential(account, make_stripe_body(name="One")), []
    monkeypatch.setattr(
        "credentials.admin.actions.credential_check", lambda **which: asked.append(which["id"])
    )
    response = browser.post(
        address(Credential, "act", row.pk), {"action": "check_now"}, follow=True
    )
    assert response.redirect_chain == [(address(Credential, "change", row.pk), 302)]
    assert "One: unknown." in text(response)
    assert asked == [row.pk]


@pytest.mark.parametrize("action", ["", "delete_selected", "export_selected"])
def test_change_page_rejects_other_actions(browser: Client, account: Account, action: str) -> None:
    row = make_credential(account)
    page = address(Credential, "act", row.pk)
    assert browser.post(page, {"action": action}).status_code == 400
    assert browser.get(page).status_code == 405
    assert Credential.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize(("body", "offered"), [(make_stripe_body, False), (make_linear_body, True)])
def test_refresh_is_offered_for_kinds_that_refresh(
    browser: Client, account: Account, body: Any, offered: bool
) -> None:
    given = make_stripe_body() if body is make_stripe_body else make_linear_body(make_app(account))
    page = text(browser.get(address(Credential, "change", make_credential(account, given).pk)))
    assert "Check now" in page
    assert ("Refresh now" in page) == offered


def test_refresh_reports_a_kind_that_does_not_refresh(browser: Client, account: Account) -> None:
    row = make_credential(account, make_stripe_body(name="A key"))
    assert "A key: " in text(run_action(browser, "refresh_now", row))


@pytest.mark.parametrize("action", ["check_now", "refresh_now"])
def test_actions_that_call_providers_reject_too_many_rows(
    browser: Client, account: Account, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setattr("credentials.admin.actions.MAX_PROVIDER_CALLS", 1)
    rows = [make_credential(account) for _ in range(2)]
    assert "Select at most 1 at once; nothing was done." in text(run_action(browser, action, *rows))


def test_export_leaves_out_secrets_and_escapes_formulas(browser: Client, account: Account) -> None:
    row = make_credential(account, make_stripe_body("sk_live_CANARY7f3a", name="=1+1"))
    make_credential(account)
    response = run_action(browser, "export_selected", row)
    assert "attachment" in response["Content-Disposition"]
    (found,) = csv.DictReader(io.StringIO(response.content.decode("utf-8-sig")))
    assert (found["id"], found["name"]) == (str(row.pk), "'=1+1")
    assert "CANARY" not in response.content.decode()
    assert "properties.secret" not in found


@pytest.mark.parametrize(
    "name",
    [
        "+1",
        "-1",
        "@SUM(1)",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(1)",
        "\ufe621",
        "\u00a0=1",
    ],
    ids=["plus", "minus", "at", "wide =", "wide +", "wide -", "wide @", "small +", "blank ="],
)
def test_export_escapes_what_any_spreadsheet_runs(
    browser: Client, account: Account, name: str
) -> None:
    response = run_action(
        browser, "export_selected", make_credential(account, make_stripe_body(name=name))
    )
    (found,) = csv.DictReader(io.StringIO(response.content.decode()))
    assert found["name"] == f"'{name}"


def test_delete_confirmation_says_what_is_revoked(browser: Client, account: Account) -> None:
    key = make_credential(account)
    grant = make_credential(account, make_linear_body(make_app(account)))
    shown = text(run_action(browser, "delete_selected", key, grant))
    assert "the secret stays valid until you end it there" in shown
    assert "its access is revoked at the provider, too" in shown


def test_history_names_fields_but_no_values(
    browser: Client, account: Account, superuser: Any
) -> None:
    row = make_credential(account, make_stripe_body(name="Before"))
    page = address(Credential, "change", row.pk)
    values = {"name": "AFTER9", "metadata": "{}", "owner_email": "", "revision": 1}
    assert browser.post(page, values).status_code == 302
    shown = text(browser.get(address(Credential, "history", row.pk)))
    assert "credential.updated" in shown
    assert superuser.username in shown
    table = shown[shown.index("<table") : shown.index("</table>")]
    assert "<td>name</td>" in table
    assert "AFTER9" not in table
    assert "Before" not in table


def test_change_page_names_the_app_and_the_refresh_state(browser: Client, account: Account) -> None:
    app = make_app(account, name="Our Linear app")
    row = make_credential(account, make_linear_body(app))
    Grant.objects.filter(credentials=row.id).update(state="needs_reauth")
    shown = text(browser.get(address(Credential, "change", row.pk)))
    assert "Our Linear app" in shown
    assert "The provider rejects the grant: the owner has to connect again." in shown


def test_hold_and_release_of_selected_rows(
    browser: Client, account: Account, other_account: Account
) -> None:
    ours, theirs = (
        make_credential(each, make_linear_body(make_app(each))) for each in (account, other_account)
    )
    key = make_credential(account, make_stripe_body(name="Key"))
    rows = ours, theirs, key
    assert "2 put on hold. 1 unchanged." in text(run_action(browser, "put_on_hold", *rows))
    assert set(Grant.objects.values_list("on_hold", flat=True)) == {True}
    assert "0 put on hold. 3 unchanged." in text(run_action(browser, "put_on_hold", *rows))
    assert "2 released. 1 unchanged." in text(run_action(browser, "release_hold", *rows))
    assert set(Grant.objects.values_list("on_hold", flat=True)) == {False}
    for row in (ours, theirs):
        events = Event.objects.filter(target_id=row.pk, verb__startswith="credential.hold_")
        assert sorted(event.verb for event in events) == [
            "credential.hold_placed",
            "credential.hold_released",
        ]
        assert {event.account_id for event in events} == {row.account_id}
