"""The bulk actions that have a form: each changes the selected rows after it was submitted."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from credentials.admin import bulk
from credentials.core.grant_state import get_grant
from credentials.models import Credential, Grant
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.admin.pages import address, text
from tests.factories import (
    make_account,
    make_app,
    make_credential,
    make_endpoint,
    make_linear_body,
    make_stripe_body,
)
from webhooks.models import WebhookDelivery

LIST = address(Credential, "changelist")
ACTIONS = ["mark_for_reconnection", "move_to_app", "edit_metadata"]


def open_form(browser: Client, action: str, *rows: Credential) -> str:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return text(browser.post(LIST, chosen, follow=True))


def submit_form(browser: Client, action: str, *rows: Credential, **typed: Any) -> str:
    chosen = [str(row.pk) for row in rows]
    values = {"action": action, "_selected_action": chosen, "apply": "yes", **typed}
    return text(browser.post(LIST, values, follow=True))


def make_grant(
    account: Account, app: OAuthApp, org: str = "org-1", *, token: str | None = None, **more: Any
) -> Credential:
    properties = {"linear_org_id": org, **({"refresh_token": token} if token else {})}
    return make_credential(account, make_linear_body(app, properties=properties, **more))


def list_verbs(row: Credential) -> list[str]:
    found = Event.objects.filter(target_id=row.pk).exclude(verb="credential.created")
    return list(found.order_by("id").values_list("verb", flat=True))


@pytest.fixture
def app(account: Account) -> OAuthApp:
    return make_app(account, name="Old app")


@pytest.fixture
def other(account: Account) -> OAuthApp:
    return make_app(account, name="New app")


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_changes_before_the_form_is_submitted(
    browser: Client, account: Account, app: OAuthApp, action: str
) -> None:
    row = make_grant(account, app, name="Ours")
    before = Credential.objects.values().get(), Grant.objects.values().get()
    content = open_form(browser, action, row)
    assert "Ours" in content
    assert f'name="action" value="{action}"' in content
    assert (Credential.objects.values().get(), Grant.objects.values().get()) == before
    assert list_verbs(row) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_bulk_actions_reject_too_many_rows(
    browser: Client,
    account: Account,
    app: OAuthApp,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    monkeypatch.setattr(bulk, "MAX_BULK_ROWS", 1)
    rows = [make_grant(account, app, f"org-{number}") for number in range(2)]
    content = submit_form(browser, action, *rows, patch="{}", oauth_app=app.pk)
    assert "Select at most 1 at once; nothing was done." in content
    assert not [verb for row in rows for verb in list_verbs(row)]


@pytest.mark.parametrize("action", ACTIONS)
def test_viewer_has_no_bulk_actions(
    account: Account, app: OAuthApp, other: OAuthApp, staff_client: Any, action: str
) -> None:
    row = make_grant(account, app)
    submit_form(staff_client("Viewer"), action, row, patch='{"a": 1}', oauth_app=other.pk)
    assert list_verbs(row) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_operator_has_bulk_actions(
    account: Account, app: OAuthApp, other: OAuthApp, staff_client: Any, action: str
) -> None:
    row = make_grant(account, app)
    submit_form(staff_client("Operator"), action, row, patch='{"a": 1}', oauth_app=other.pk)
    assert list_verbs(row)


# --- mark for reconnection ----------------------------------------------------------------------


def test_mark_ends_the_grant_and_notifies(
    browser: Client, account: Account, app: OAuthApp, superuser: Any
) -> None:
    make_endpoint(account)
    row = make_grant(account, app, name="Ours")
    WebhookDelivery.objects.all().delete()
    assert "Ours: marked for reconnection." in submit_form(browser, "mark_for_reconnection", row)
    row.refresh_from_db()
    assert (get_grant(row).state, get_grant(row).error) == ("needs_reauth", "marked")
    assert (get_grant(row).next_at, row.health_status) == (None, "error")
    assert "marked for reconnection by staff" in row.health["notes"][0]
    shown = text(browser.get(address(Credential, "change", row.pk)))
    assert "Marked here for reconnection: the owner has to connect again." in shown
    assert "The provider rejects the grant" not in shown
    assert row.secrets is not None
    assert list_verbs(row) == ["credential.needs_reauth", "credential.health_changed"]
    actors = Event.objects.filter(verb="credential.needs_reauth").values_list("actor", flat=True)
    assert list(actors) == [f"user:{superuser.pk}"]


def test_import_of_another_grant_removes_the_mark(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = make_grant(account, app)
    submit_form(browser, "mark_for_reconnection", row)
    body = make_linear_body(app)
    body["properties"] |= {"access_token": "lin_second", "refresh_token": "lin_refresh_second"}
    make_credential(account, body)
    row.refresh_from_db()
    assert (get_grant(row).state, row.health_status) == ("active", "unknown")


def test_each_row_gets_a_message(browser: Client, account: Account, app: OAuthApp) -> None:
    key = make_credential(account, make_stripe_body(name="Key"))
    one, two = (
        make_grant(account, app, "org-1", name="One"),
        make_grant(account, app, "org-2", name="Two"),
    )
    submit_form(browser, "mark_for_reconnection", one)
    content = submit_form(browser, "mark_for_reconnection", key, one, two)
    assert "Key: Credentials of the kind stripe_key are not connected by their owner" in content
    assert "One: is waiting for reconnection already." in content
    assert "Two: marked for reconnection." in content
    assert list_verbs(one).count("credential.needs_reauth") == 1


def test_mark_skips_a_credential_during_its_refresh(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = make_grant(account, app, name="Busy")
    until = timezone.now() + dt.timedelta(seconds=20)
    Grant.objects.filter(credentials=row.id).update(lease_owner="x", lease_until=until)
    assert "Busy: Another caller is refreshing" in submit_form(
        browser, "mark_for_reconnection", row
    )
    row.refresh_from_db()
    assert get_grant(row).state == "active"


def test_mark_of_a_credential_in_error_sends_a_webhook(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = make_grant(account, app)
    Credential.objects.filter(pk=row.pk).update(health={**row.health, "status": "error"})
    make_endpoint(account)
    submit_form(browser, "mark_for_reconnection", row)
    assert list_verbs(row) == ["credential.needs_reauth"]
    row.refresh_from_db()
    assert get_grant(row).state == "needs_reauth"
    types = WebhookDelivery.objects.values_list("type", flat=True)
    assert list(types) == ["credential.updated"]


# --- move ---------------------------------------------------------------------------------------


def test_move_keeps_the_row_and_computes_its_identity_again(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = make_grant(account, app, name="Ours")
    content = submit_form(browser, "move_to_app", row, oauth_app=other.pk)
    assert "Ours: moved to New app." in content
    # A file that names the former app finds it, and so does what is imported for the new one.
    assert make_grant(account, app).pk == row.pk
    row.refresh_from_db()
    assert row.oauth_app_id == other.pk
    assert make_grant(account, other).pk == row.pk
    event = Event.objects.filter(target_id=row.pk, verb="credential.updated").earliest("id")
    assert event.changed == ["oauth_app_id"]


def test_move_reports_a_conflict_and_moves_the_others(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    holder = make_grant(account, other, "org-1")
    clashing, free = (
        make_grant(account, app, "org-1", token="lin_refresh_of_the_other_app", name="A"),
        make_grant(account, app, "org-2", name="B"),
    )
    content = submit_form(browser, "move_to_app", clashing, free, oauth_app=other.pk)
    assert (
        f"A: The other app already has a credential for this upstream account. ({holder.pk})"
        in content
    )
    assert "B: moved to New app." in content
    clashing.refresh_from_db()
    assert clashing.oauth_app_id == app.pk


def test_move_of_a_credential_with_an_external_id(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = make_grant(account, app, external_id="ext-1")
    submit_form(browser, "move_to_app", row, oauth_app=other.pk)
    assert make_grant(account, other, external_id="ext-1").pk == row.pk


def test_move_to_the_same_app_changes_nothing(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = make_grant(account, app, name="Ours")
    assert "Ours: belongs to Old app already." in submit_form(
        browser, "move_to_app", row, oauth_app=app.pk
    )
    assert list_verbs(row) == []


def test_move_offers_apps_of_the_same_account_and_provider(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    elsewhere = make_app(make_account(), name="Elsewhere")
    foreign = make_app(account, provider="google", name="Google app")
    row = make_grant(account, app)
    content = open_form(browser, "move_to_app", row)
    assert "New app" in content
    for wrong in (elsewhere, foreign):
        assert wrong.name not in content
        assert "Select a valid choice" in submit_form(
            browser, "move_to_app", row, oauth_app=wrong.pk
        )
    assert list_verbs(row) == []


def test_move_rejects_rows_of_several_providers(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    content = open_form(browser, "move_to_app", make_credential(account), make_grant(account, app))
    assert "Select credentials of one account and one provider; nothing was done." in content


def test_move_skips_a_credential_without_an_app(browser: Client, account: Account) -> None:
    stripe = make_app(account, provider="stripe")
    row = make_credential(account, make_stripe_body(name="Key"))
    assert "Key: This credential does not use an OAuth app." in submit_form(
        browser, "move_to_app", row, oauth_app=stripe.pk
    )


def test_move_skips_a_credential_during_its_refresh(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = make_grant(account, app, name="Busy")
    until = timezone.now() + dt.timedelta(seconds=20)
    Grant.objects.filter(credentials=row.id).update(lease_owner="x", lease_until=until)
    assert "Busy: Another caller" in submit_form(browser, "move_to_app", row, oauth_app=other.pk)
    row.refresh_from_db()
    assert row.oauth_app_id == app.pk


def test_move_decrypts_nothing_if_properties_are_the_identity(
    browser: Client,
    account: Account,
    app: OAuthApp,
    other: OAuthApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = make_grant(account, app, name="Ours")
    monkeypatch.delattr("credentials.services.change_app.decrypt_secrets")
    assert "moved to New app" in submit_form(browser, "move_to_app", row, oauth_app=other.pk)


def test_move_decrypts_a_secret_that_is_the_identity(browser: Client, account: Account) -> None:
    old, new = (make_app(account, provider="mailchimp") for _ in range(2))
    properties = {"kind": "mailchimp_oauth2", "dc": "us0", "access_token": "e0b0CANARY7f3a"}

    def imported(app: OAuthApp) -> Credential:
        return make_credential(account, {"properties": properties, "oauth_app_id": str(app.pk)})

    row = imported(old)
    assert "CANARY" not in submit_form(browser, "move_to_app", row, oauth_app=new.pk)
    assert imported(new).pk == row.pk


# --- metadata of many ---------------------------------------------------------------------------


def test_metadata_patch_is_merged_into_each_row(browser: Client, account: Account) -> None:
    one = make_credential(account, make_stripe_body(name="One", metadata={"team": "a", "old": 1}))
    two = make_credential(account, make_stripe_body(name="Two", metadata={"kept": True}))
    patch = json.dumps({"team": "ops", "old": None})
    content = submit_form(browser, "edit_metadata", one, two, patch=patch)
    assert "One: metadata edited." in content
    assert "Two: metadata edited." in content
    for row in (one, two):
        row.refresh_from_db()
        assert list_verbs(row) == ["credential.updated"]
    assert one.metadata == {"team": "ops"}
    assert two.metadata == {"team": "ops", "kept": True}


def test_metadata_patch_without_effect_is_reported(browser: Client, account: Account) -> None:
    row = make_credential(account, make_stripe_body(name="One", metadata={"team": "ops"}))
    content = submit_form(browser, "edit_metadata", row, patch='{"team": "ops"}')
    assert "One: has this metadata already." in content
    assert list_verbs(row) == []


@pytest.mark.parametrize(
    "patch",
    ["", "[]", "null", "1", '{"a": 1, "a": 2}', '{"a": NaN}', "{", '{"a": "\\u0000"}', "<b>"],
)
def test_invalid_metadata_patch_is_an_error_of_its_field(
    browser: Client, account: Account, patch: str
) -> None:
    row = make_credential(account, make_stripe_body(metadata={"team": "a"}))
    content = submit_form(browser, "edit_metadata", row, patch=patch)
    assert "errorlist" in content
    row.refresh_from_db()
    assert row.metadata == {"team": "a"}


def test_metadata_patch_skips_a_row_that_it_would_make_invalid(
    browser: Client, account: Account
) -> None:
    full = {f"k{number}": "x" * 1000 for number in range(15)}
    large = make_credential(account, make_stripe_body(name="Large", metadata=full))
    small = make_credential(account, make_stripe_body(name="Small"))
    content = submit_form(
        browser, "edit_metadata", large, small, patch=json.dumps({"n": "y" * 1000, "m": "z" * 1000})
    )
    assert "Large: metadata: " in content
    assert "Small: metadata edited." in content
    large.refresh_from_db()
    assert large.metadata == full
