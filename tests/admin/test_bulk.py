"""What is done to many chosen rows, after a page has asked how."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from credentials.admin import bulk
from credentials.models import Credential
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


def ask(browser: Client, action: str, *rows: Credential) -> str:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return text(browser.post(LIST, chosen, follow=True))


def act(browser: Client, action: str, *rows: Credential, **typed: Any) -> str:
    chosen = [str(row.pk) for row in rows]
    values = {"action": action, "_selected_action": chosen, "apply": "yes", **typed}
    return text(browser.post(LIST, values, follow=True))


def grant(account: Account, app: OAuthApp, org: str = "org-1", **more: Any) -> Credential:
    body = make_linear_body(app, properties={"linear_org_id": org}, **more)
    return make_credential(account, body)


def verbs(row: Credential) -> list[str]:
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
def test_nothing_is_done_before_the_page_is_answered(
    browser: Client, account: Account, app: OAuthApp, action: str
) -> None:
    row = grant(account, app, name="Ours")
    before = Credential.objects.values().get()
    said = ask(browser, action, row)
    assert "Ours" in said
    assert f'name="action" value="{action}"' in said
    assert Credential.objects.values().get() == before
    assert verbs(row) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_no_more_than_a_page_of_the_list(
    browser: Client,
    account: Account,
    app: OAuthApp,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    monkeypatch.setattr(bulk, "MAX_BULK_ROWS", 1)
    rows = [grant(account, app, f"org-{number}") for number in range(2)]
    said = act(browser, action, *rows, patch="{}", oauth_app=app.pk)
    assert "Select at most 1 at once; nothing was done." in said
    assert not [verb for row in rows for verb in verbs(row)]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_viewer_may_not(
    account: Account, app: OAuthApp, other: OAuthApp, staff_client: Any, action: str
) -> None:
    row = grant(account, app)
    act(staff_client("Viewer"), action, row, patch='{"a": 1}', oauth_app=other.pk)
    assert verbs(row) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_an_operator_may(
    account: Account, app: OAuthApp, other: OAuthApp, staff_client: Any, action: str
) -> None:
    row = grant(account, app)
    act(staff_client("Operator"), action, row, patch='{"a": 1}', oauth_app=other.pk)
    assert verbs(row)


# --- mark for reconnection ----------------------------------------------------------------------


def test_marking_ends_the_grant_and_tells(
    browser: Client, account: Account, app: OAuthApp, superuser: Any
) -> None:
    make_endpoint(account)
    row = grant(account, app, name="Ours")
    WebhookDelivery.objects.all().delete()
    assert "Ours: marked for reconnection." in act(browser, "mark_for_reconnection", row)
    row.refresh_from_db()
    assert (row.refresh_state, row.refresh_error) == ("needs_reauth", "marked")
    assert (row.refresh_next_at, row.health_status) == (None, "error")
    assert "marked for reconnection by staff" in row.health["notes"][0]
    shown = text(browser.get(address(Credential, "change", row.pk)))
    assert "Marked here for reconnection: the owner has to connect again." in shown
    assert "The provider rejects the grant" not in shown
    assert row.secrets is not None
    assert verbs(row) == ["credential.needs_reauth", "credential.health_changed"]
    actors = Event.objects.filter(verb="credential.needs_reauth").values_list("actor", flat=True)
    assert list(actors) == [f"user:{superuser.pk}"]


def test_an_import_of_another_grant_ends_it(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = grant(account, app)
    act(browser, "mark_for_reconnection", row)
    body = make_linear_body(app)
    body["properties"] |= {"access_token": "lin_second", "refresh_token": "lin_refresh_second"}
    make_credential(account, body)
    row.refresh_from_db()
    assert (row.refresh_state, row.health_status) == ("active", "unknown")


def test_each_row_has_its_line(browser: Client, account: Account, app: OAuthApp) -> None:
    key = make_credential(account, make_stripe_body(name="Key"))
    one, two = grant(account, app, "org-1", name="One"), grant(account, app, "org-2", name="Two")
    act(browser, "mark_for_reconnection", one)
    said = act(browser, "mark_for_reconnection", key, one, two)
    assert "Key: Credentials of the kind stripe_key are not connected by their owner" in said
    assert "One: is waiting for reconnection already." in said
    assert "Two: marked for reconnection." in said
    assert verbs(one).count("credential.needs_reauth") == 1


def test_one_that_is_being_refreshed_is_left(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = grant(account, app, name="Busy")
    until = timezone.now() + dt.timedelta(seconds=20)
    Credential.objects.filter(pk=row.pk).update(lease_owner="x", lease_until=until)
    assert "Busy: Another caller is refreshing" in act(browser, "mark_for_reconnection", row)
    row.refresh_from_db()
    assert row.refresh_state == "active"


def test_one_in_error_before_is_told_of_all_the_same(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = grant(account, app)
    Credential.objects.filter(pk=row.pk).update(health={**row.health, "status": "error"})
    make_endpoint(account)
    act(browser, "mark_for_reconnection", row)
    assert verbs(row) == ["credential.needs_reauth"]
    row.refresh_from_db()
    assert row.refresh_state == "needs_reauth"
    told = WebhookDelivery.objects.values_list("type", flat=True)
    assert list(told) == ["credential.updated"]


# --- move ---------------------------------------------------------------------------------------


def test_moving_keeps_the_row_and_computes_its_identity(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = grant(account, app, name="Ours")
    said = act(browser, "move_to_app", row, oauth_app=other.pk)
    assert "Ours: moved to New app." in said
    # What is imported for the new app finds it; the former app has none any more.
    assert grant(account, other).pk == row.pk
    assert grant(account, app).pk != row.pk
    event = Event.objects.filter(target_id=row.pk, verb="credential.updated").earliest("id")
    assert event.changed == ["oauth_app_id"]


def test_a_clash_is_said_of_its_row_and_the_others_move(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    holder = grant(account, other, "org-1")
    clashing, free = grant(account, app, "org-1", name="A"), grant(account, app, "org-2", name="B")
    said = act(browser, "move_to_app", clashing, free, oauth_app=other.pk)
    assert (
        f"A: The other app already has a credential for this upstream account. ({holder.pk})"
        in said
    )
    assert "B: moved to New app." in said
    clashing.refresh_from_db()
    assert clashing.oauth_app_id == app.pk


def test_an_identity_of_an_external_id_moves_too(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = grant(account, app, external_id="ext-1")
    act(browser, "move_to_app", row, oauth_app=other.pk)
    assert grant(account, other, external_id="ext-1").pk == row.pk


def test_moving_to_where_it_is_changes_nothing(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    row = grant(account, app, name="Ours")
    assert "Ours: belongs to Old app already." in act(browser, "move_to_app", row, oauth_app=app.pk)
    assert verbs(row) == []


def test_only_apps_of_the_account_and_the_provider_are_offered(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    elsewhere = make_app(make_account(), name="Elsewhere")
    foreign = make_app(account, provider="google", name="Google app")
    row = grant(account, app)
    said = ask(browser, "move_to_app", row)
    assert "New app" in said
    for wrong in (elsewhere, foreign):
        assert wrong.name not in said
        assert "Select a valid choice" in act(browser, "move_to_app", row, oauth_app=wrong.pk)
    assert verbs(row) == []


def test_rows_of_several_providers_are_refused(
    browser: Client, account: Account, app: OAuthApp
) -> None:
    said = ask(browser, "move_to_app", make_credential(account), grant(account, app))
    assert "Select credentials of one account and one provider; nothing was done." in said


def test_one_without_an_app_stays(browser: Client, account: Account) -> None:
    stripe = make_app(account, provider="stripe")
    row = make_credential(account, make_stripe_body(name="Key"))
    assert "Key: This credential does not use an OAuth app." in act(
        browser, "move_to_app", row, oauth_app=stripe.pk
    )


def test_a_busy_one_stays(
    browser: Client, account: Account, app: OAuthApp, other: OAuthApp
) -> None:
    row = grant(account, app, name="Busy")
    until = timezone.now() + dt.timedelta(seconds=20)
    Credential.objects.filter(pk=row.pk).update(lease_owner="x", lease_until=until)
    assert "Busy: Another caller" in act(browser, "move_to_app", row, oauth_app=other.pk)
    row.refresh_from_db()
    assert row.oauth_app_id == app.pk


def test_no_seal_is_opened_where_the_properties_tell(
    browser: Client,
    account: Account,
    app: OAuthApp,
    other: OAuthApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = grant(account, app, name="Ours")
    monkeypatch.delattr("credentials.services.change_app.unseal")
    assert "moved to New app" in act(browser, "move_to_app", row, oauth_app=other.pk)


def test_where_a_secret_tells_the_account_it_is_part_of_the_new_identity(
    browser: Client, account: Account
) -> None:
    old, new = (make_app(account, provider="mailchimp") for _ in range(2))
    properties = {"kind": "mailchimp_oauth2", "dc": "us0", "access_token": "e0b0CANARY7f3a"}

    def imported(app: OAuthApp) -> Credential:
        return make_credential(account, {"properties": properties, "oauth_app_id": str(app.pk)})

    row = imported(old)
    assert "CANARY" not in act(browser, "move_to_app", row, oauth_app=new.pk)
    assert imported(new).pk == row.pk


# --- metadata of many ---------------------------------------------------------------------------


def test_the_patch_is_merged_into_each(browser: Client, account: Account) -> None:
    one = make_credential(account, make_stripe_body(name="One", metadata={"team": "a", "old": 1}))
    two = make_credential(account, make_stripe_body(name="Two", metadata={"kept": True}))
    patch = json.dumps({"team": "ops", "old": None})
    said = act(browser, "edit_metadata", one, two, patch=patch)
    assert "One: metadata edited." in said
    assert "Two: metadata edited." in said
    for row in (one, two):
        row.refresh_from_db()
        assert verbs(row) == ["credential.updated"]
    assert one.metadata == {"team": "ops"}
    assert two.metadata == {"team": "ops", "kept": True}


def test_one_that_has_it_already_says_so(browser: Client, account: Account) -> None:
    row = make_credential(account, make_stripe_body(name="One", metadata={"team": "ops"}))
    said = act(browser, "edit_metadata", row, patch='{"team": "ops"}')
    assert "One: has this metadata already." in said
    assert verbs(row) == []


@pytest.mark.parametrize(
    "patch",
    ["", "[]", "null", "1", '{"a": 1, "a": 2}', '{"a": NaN}', "{", '{"a": "\\u0000"}', "<b>"],
)
def test_what_is_no_patch_is_refused_beside_its_box(
    browser: Client, account: Account, patch: str
) -> None:
    row = make_credential(account, make_stripe_body(metadata={"team": "a"}))
    said = act(browser, "edit_metadata", row, patch=patch)
    assert "errorlist" in said
    row.refresh_from_db()
    assert row.metadata == {"team": "a"}


def test_one_that_would_break_a_rule_stays_and_the_others_change(
    browser: Client, account: Account
) -> None:
    full = {f"k{number}": "x" * 1000 for number in range(15)}
    large = make_credential(account, make_stripe_body(name="Large", metadata=full))
    small = make_credential(account, make_stripe_body(name="Small"))
    said = act(
        browser, "edit_metadata", large, small, patch=json.dumps({"n": "y" * 1000, "m": "z" * 1000})
    )
    assert "Large: metadata: " in said
    assert "Small: metadata edited." in said
    large.refresh_from_db()
    assert large.metadata == full
