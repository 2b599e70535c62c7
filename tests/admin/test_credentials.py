from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Account
from credentials.models import Credential
from credentials.services.crud import credential_update
from events.models import Event
from tests.admin.pages import address, errors, form_values, text
from tests.factories import (
    TESTER,
    make_account,
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
)
from vault.sealing import Place, unseal

SECRET = "sk_live_CANARY7f3a"
ADD = address(Credential, "add")
LIST = address(Credential, "changelist")


def _add(browser: Client, account: Account, kind: str = "stripe_key", **typed: Any) -> Any:
    """Step two of adding; properties are typed as `p_<name>`."""
    values = {name.replace("p_", "p-", 1): value for name, value in typed.items()}
    if kind == "stripe_key":
        values.setdefault("p-secret", SECRET)
    return browser.post(f"{ADD}?account={account.pk}&kind={kind}", values)


def _edit(browser: Client, credential: Credential, **typed: str) -> Any:
    page = address(Credential, "change", credential.pk)
    return browser.post(page, form_values(browser.get(page)) | typed)


def test_add_imports_a_credential(browser: Client, account: Account, superuser: User) -> None:
    response = _add(browser, account, name="Billing", metadata='{"env": "prod"}')
    assert response.status_code == 302
    row = Credential.objects.get()
    assert (row.name, row.metadata) == ("Billing", {"env": "prod"})
    assert row.properties["secret"] == "**********"
    event = Event.objects.get(verb="credential.created")
    assert (event.actor, event.ip) == (f"user:{superuser.pk}", "127.0.0.1")
    assert event.request_id == response["X-Request-Id"]


def test_add_begins_with_account_and_kind(browser: Client, account: Account) -> None:
    shown = text(browser.get(ADD))
    assert 'value="stripe_key"' in shown
    assert "p-secret" not in shown


def test_add_rejects_an_unknown_kind(browser: Client, account: Account) -> None:
    response = browser.get(f"{ADD}?account={account.pk}&kind=nothing")
    assert "Select a valid choice" in text(response)


def test_add_form_has_a_field_for_each_property(browser: Client, account: Account) -> None:
    response = browser.get(f"{ADD}?account={account.pk}&kind=linear_oauth2")
    fields = response.context["adminform"].form.fields
    assert {"oauth_app", "p-linear_org_id", "p-access_token", "p-refresh_token"} <= set(fields)
    assert fields["p-refresh_token"].widget.input_type == "password"
    assert "p-secret" not in fields


def test_add_with_an_app(browser: Client, account: Account) -> None:
    app = make_app(account)
    typed = {"p_linear_org_id": "org-1", "p_access_token": SECRET, "oauth_app": str(app.pk)}
    response = _add(browser, account, "linear_oauth2", **typed)
    assert response.status_code == 302
    row = Credential.objects.get()
    assert row.oauth_app == app
    assert row.properties["access_token"] == "**********"


def test_add_of_an_existing_account_is_reported(browser: Client, account: Account) -> None:
    make_credential(account, {"properties": {"kind": "stripe_key", "secret": SECRET}})
    response = _add(browser, account)
    shown = text(browser.get(response["Location"]))
    assert "already had a credential, which is unchanged" in shown
    assert Credential.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "typed", "field", "reason"),
    [
        ("stripe_key", {"p_secret": ""}, "p-secret", "This field is required."),
        ("stripe_key", {"p_secret": "**********"}, "p-secret", "Is the mask"),
        ("stripe_key", {"p_test": "maybe", "name": "a\u202eb"}, "name", "control character"),
        (
            "salesforce_oauth2",
            {"p_instance_url": "nowhere", "p_refresh_token": SECRET},
            "p-instance_url",
            "https://",
        ),
        (
            "github_app",
            {"p_installation_id": "x", "p_account_login": "acme"},
            "p-installation_id",
            "Enter a whole number.",
        ),
    ],
)
def test_invalid_property_is_an_error_of_its_field_without_the_secret(
    browser: Client, account: Account, kind: str, typed: Any, field: str, reason: str
) -> None:
    if kind != "stripe_key":
        typed = {**typed, "oauth_app": str(make_app(account, kind.partition("_")[0]).pk)}
    response = _add(browser, account, kind, **typed)
    assert response.status_code == 200
    assert reason in str(errors(response)[field])
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
def test_invalid_value_is_an_error_of_its_field(
    browser: Client, account: Account, field: str, typed: str, reason: str
) -> None:
    response = _add(browser, account, **{field: typed})
    assert reason in str(errors(response)[field])
    assert not Credential.objects.exists()


def test_add_rejects_an_app_of_another_account(browser: Client, account: Account) -> None:
    app = make_app(make_account())
    typed = {"p_linear_org_id": "org-1", "p_access_token": SECRET, "oauth_app": str(app.pk)}
    response = _add(browser, account, "linear_oauth2", **typed)
    assert "Select a valid choice" in str(errors(response)["oauth_app"])
    assert not Credential.objects.exists()


def test_edit_updates_the_credential(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    response = _edit(browser, credential, name="Renamed", metadata='{"a": [1]}')
    assert response.status_code == 302
    credential.refresh_from_db()
    assert (credential.name, credential.metadata) == ("Renamed", {"a": [1]})
    assert sorted(Event.objects.get(verb="credential.updated").changed) == ["metadata", "name"]


@pytest.fixture
def credential(account: Account) -> Credential:
    return make_credential(account)


def test_edit_decrypts_nothing(browser: Client, credential: Credential, no_unsealing: None) -> None:
    assert _edit(browser, credential, name="Renamed").status_code == 302


def test_edit_clears_a_name(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(name="Old"))
    _edit(browser, credential, name="", owner_email="")
    credential.refresh_from_db()
    assert credential.name == ""


def test_edit_without_a_change_records_no_event(browser: Client, account: Account) -> None:
    credential = make_credential(account)
    assert _edit(browser, credential).status_code == 302
    assert not Event.objects.filter(verb="credential.updated").exists()


def test_edit_keeps_a_secret_that_is_left_blank(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(SECRET))
    before = bytes(Credential.objects.get().secrets.blob)  # type: ignore[union-attr]
    assert _edit(browser, credential, name="Renamed").status_code == 302
    assert bytes(Credential.objects.get().secrets.blob) == before  # type: ignore[union-attr]


def test_edit_rotates_a_secret_that_is_entered(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(SECRET))
    response = _edit(browser, credential, **{"p-secret": "sk_live_next_CANARY7f3a"})
    assert response.status_code == 302
    row = Credential.objects.get()
    assert row.secrets is not None
    assert unseal(Place.of(row, "secrets"), row.secrets) == {"secret": "sk_live_next_CANARY7f3a"}
    assert Event.objects.get(verb="credential.rotated").changed == ["properties.secret"]


def test_edit_stores_the_expiry_of_a_new_token(browser: Client, account: Account) -> None:
    row = make_credential(account, make_linear_body(make_app(account)))
    typed = {"p-access_token": "lin_next", "p-expires_at": "2030-01-01T00:00:00Z"}
    assert _edit(browser, row, **typed).status_code == 302
    row.refresh_from_db()
    assert row.expires_at is not None
    assert row.expires_at.year == 2030


def test_edit_changes_a_property_and_keeps_the_secret(
    browser: Client, credential: Credential, no_unsealing: None
) -> None:
    assert _edit(browser, credential, **{"p-test": "true"}).status_code == 302
    row = Credential.objects.get()
    assert (row.properties["test"], row.properties["secret"]) == (True, "**********")
    assert Event.objects.get(verb="credential.updated").changed == ["properties.test"]


def test_edit_ignores_properties_of_the_identity(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_linear_body(make_app(account)))
    _edit(browser, credential, **{"p-linear_org_id": "org-2"})
    assert Credential.objects.get().properties["linear_org_id"] == "org-1"


def test_edit_with_an_invalid_secret_changes_nothing(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(name="Old"))
    response = _edit(browser, credential, name="New", **{"p-secret": "**********"})
    assert "p-secret" in errors(response)
    assert Credential.objects.get().name == "Old"
    assert not Event.objects.filter(verb="credential.updated").exists()


def test_edit_with_an_invalid_value_changes_nothing(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(name="Old"))
    response = _edit(browser, credential, name="New", owner_email="nobody")
    assert response.status_code == 200
    assert "owner_email" in errors(response)
    credential.refresh_from_db()
    assert credential.name == "Old"


def test_edit_rejects_a_form_of_an_older_revision(browser: Client, account: Account) -> None:
    credential = make_credential(account, make_stripe_body(name="First"))
    page = address(Credential, "change", credential.pk)
    seen = form_values(browser.get(page))
    credential_update(
        account_id=account.id, id=credential.id, actor=TESTER, changes={"name": "Second"}
    )
    response = browser.post(page, seen | {"name": "Third"})
    assert "has changed since it was read" in text(response)
    credential.refresh_from_db()
    assert credential.name == "Second"


def test_change_page_has_masked_properties_health_and_events(
    browser: Client, account: Account
) -> None:
    credential = make_credential(account)
    shown = text(browser.get(address(Credential, "change", credential.pk)))
    assert '"secret": "**********"' in shown
    assert '<span class="lk-badge lk-unknown">unknown</span>' in shown
    assert "<td>credential.created</td>" in shown


def test_stored_text_is_escaped(browser: Client, account: Account) -> None:
    body = make_stripe_body(
        name="<script>alert(1)</script>", metadata={"x": "<img src=x onerror=y>"}
    )
    credential = make_credential(account, body)
    for page in (LIST, address(Credential, "change", credential.pk)):
        content = browser.get(page).content.decode()
        assert "<script>alert" not in content
        assert "<img src=x" not in content


def test_history_names_fields_but_no_values(browser: Client, account: Account) -> None:
    _add(browser, account, metadata='{"note": "VALUE9"}')
    _edit(browser, Credential.objects.get(), metadata='{"note": "OTHER9"}')
    browser.post(address(Credential, "delete", Credential.objects.get().pk), {"post": "yes"})
    entries = list(LogEntry.objects.values_list("change_message", "object_repr"))
    assert len(entries) == 3
    assert "metadata" in str(entries).lower()
    assert not [mark for mark in (SECRET, "VALUE9", "OTHER9") if mark in str(entries)]
