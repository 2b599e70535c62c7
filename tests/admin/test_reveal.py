from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts.models import Account
from credentials.models import Credential, Reveal
from credentials.services.reveal import MAX_REVEALS_PER_HOUR
from events.models import Event
from tests.accounts.factor import clear_throttling, make_recovery_codes
from tests.admin.pages import text
from tests.factories import (
    make_account,
    make_app,
    make_credential,
    make_linear_body,
    make_staff,
    make_stripe_body,
)
from vault.sealing import SecretUnavailableError

SECRET = "sk_live_CANARY7f3a"


@pytest.fixture
def row(account: Account) -> Credential:
    return make_credential(account, make_stripe_body(SECRET))


@pytest.fixture
def custodian(staff_client: Any) -> Client:
    client: Client = staff_client("Custodian")
    return client


def submit(browser: Client, row: Credential, **typed: str) -> Any:
    values = {"secret": "secret", "reason": "A ticket", "password": "correct horse", **typed}
    return browser.post(f"/admin/credentials/credential/{row.pk}/reveal/", values)


def test_reveal_displays_one_secret_and_stores_it_nowhere(
    custodian: Client, row: Credential
) -> None:
    response = submit(custodian, row)
    assert SECRET in text(response)
    assert "no-store" in response["Cache-Control"]
    assert response["Refresh"] == f"30; url=/admin/credentials/credential/{row.pk}/change/"
    assert (Reveal.objects.get().reason, Event.objects.order_by("-id")[0].verb) == (
        "A ticket", "credential.revealed",
    )  # fmt: skip
    assert SECRET not in text(custodian.get("/admin/"))


def test_reveal_masks_the_other_secret(custodian: Client, account: Account) -> None:
    row = make_credential(account, make_linear_body(make_app(account)))
    shown = text(submit(custodian, row, secret="access_token"))
    assert "lin_oauth_first" in shown
    assert "lin_refresh_first" not in shown


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ({"password": "wrong"}, "The password is wrong."),
        ({"password": ""}, "This field is required."),
        ({"reason": " "}, "This field is required."),
        ({"reason": "a\u202eb"}, "control character"),
        ({"reason": "x" * 501}, "at most 500"),
        ({"secret": "kind"}, "Select a valid choice"),
    ],
)
def test_reveal_rejects_an_invalid_form(
    custodian: Client, row: Credential, typed: dict[str, str], reason: str
) -> None:
    shown = text(submit(custodian, row, **typed))
    assert reason in shown
    assert SECRET not in shown
    assert not Reveal.objects.exists()


def test_reveal_requires_a_code_with_a_second_factor(custodian: Client, row: Credential) -> None:
    user = User.objects.get(pk=custodian.session["_auth_user_id"])
    device = make_recovery_codes(user, "11112222", "33334444")
    session = custodian.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    assert "This field is required." in text(submit(custodian, row))
    for typed in ({"otp": "00000000"}, {"password": "wrong", "otp": "11112222"}):
        shown = text(submit(custodian, row, **typed))
        assert "The password or the code is wrong." in shown
        assert SECRET not in shown
    clear_throttling()
    assert SECRET in text(submit(custodian, row, otp="11112222"))


def test_event_names_the_revealed_secret(custodian: Client, account: Account) -> None:
    submit(
        custodian,
        make_credential(account, make_linear_body(make_app(account))),
        secret="access_token",
    )
    assert Event.objects.get(verb="credential.revealed").changed == ["access_token"]


def test_reveal_of_a_secret_that_was_removed(custodian: Client, row: Credential) -> None:
    changed = {**row.properties, "publishable": "**********"}
    Credential.objects.filter(pk=row.pk).update(properties=changed)
    shown = text(submit(custodian, row, secret="publishable"))
    assert "no longer has the secret publishable" in shown
    assert not Reveal.objects.exists()


def test_reveal_limit_covers_all_accounts(custodian: Client, other_account: Account) -> None:
    for _ in range(MAX_REVEALS_PER_HOUR):
        submit(custodian, make_credential(make_account()))
    shown = text(submit(custodian, make_credential(other_account, make_stripe_body(SECRET))))
    assert "in an hour" in shown
    assert SECRET not in shown


def test_form_does_not_repeat_a_code(custodian: Client, row: Credential) -> None:
    user = User.objects.get(pk=custodian.session["_auth_user_id"])
    device = make_recovery_codes(user, "11112222")
    session = custodian.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    assert "11112222" not in text(submit(custodian, row, reason="", otp="11112222"))


def test_reveal_limit_of_an_hour(custodian: Client, row: Credential) -> None:
    for _ in range(MAX_REVEALS_PER_HOUR):
        assert SECRET in text(submit(custodian, row))
    shown = text(submit(custodian, row))
    assert "in an hour" in shown
    assert SECRET not in shown


def test_five_wrong_passwords_lock_out_the_user(custodian: Client, row: Credential) -> None:
    for _ in range(5):
        submit(custodian, row, password="wrong")
    shown = text(submit(custodian, row))
    assert "Too many failures" in shown
    assert SECRET not in shown


def test_form_decrypts_nothing(custodian: Client, row: Credential, no_unsealing: None) -> None:
    response = custodian.get(f"/admin/credentials/credential/{row.pk}/reveal/")
    assert response.status_code == 200


def test_reveal_reports_a_row_that_cannot_be_decrypted(
    custodian: Client, row: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_unavailable(*_: Any) -> None:
        raise SecretUnavailableError()

    monkeypatch.setattr("credentials.services.reveal.decrypt_secrets", raise_unavailable)
    assert "cannot be decrypted" in text(submit(custodian, row))


def test_operator_cannot_reveal(row: Credential, staff_client: Any) -> None:
    assert submit(staff_client("Operator"), row).status_code == 403
    assert not Reveal.objects.exists()


def test_staff_without_a_group_cannot_reveal(row: Credential) -> None:
    browser = Client()
    browser.force_login(make_staff())
    assert submit(browser, row).status_code == 403
