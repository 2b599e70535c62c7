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


def ask(browser: Client, row: Credential, **typed: str) -> Any:
    values = {"secret": "secret", "reason": "A ticket", "password": "correct horse", **typed}
    return browser.post(f"/admin/credentials/credential/{row.pk}/reveal/", values)


def test_one_secret_is_shown_and_kept_nowhere(custodian: Client, row: Credential) -> None:
    response = ask(custodian, row)
    assert SECRET in text(response)
    assert "no-store" in response["Cache-Control"]
    assert response["Refresh"] == f"30; url=/admin/credentials/credential/{row.pk}/change/"
    assert (Reveal.objects.get().reason, Event.objects.order_by("-id")[0].verb) == (
        "A ticket", "credential.revealed",
    )  # fmt: skip
    assert SECRET not in text(custodian.get("/admin/"))


def test_of_two_secrets_the_other_stays_hidden(custodian: Client, account: Account) -> None:
    row = make_credential(account, make_linear_body(make_app(account)))
    shown = text(ask(custodian, row, secret="access_token"))
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
def test_what_is_missing_or_wrong_shows_nothing(
    custodian: Client, row: Credential, typed: dict[str, str], reason: str
) -> None:
    shown = text(ask(custodian, row, **typed))
    assert reason in shown
    assert SECRET not in shown
    assert not Reveal.objects.exists()


def test_a_device_asks_for_its_code(custodian: Client, row: Credential) -> None:
    user = User.objects.get(pk=custodian.session["_auth_user_id"])
    device = make_recovery_codes(user, "11112222", "33334444")
    session = custodian.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    assert "This field is required." in text(ask(custodian, row))
    for typed in ({"otp": "00000000"}, {"password": "wrong", "otp": "11112222"}):
        shown = text(ask(custodian, row, **typed))
        assert "The password or the code is wrong." in shown
        assert SECRET not in shown
    clear_throttling()
    assert SECRET in text(ask(custodian, row, otp="11112222"))


def test_the_trail_names_the_one_that_was_shown(custodian: Client, account: Account) -> None:
    ask(
        custodian,
        make_credential(account, make_linear_body(make_app(account))),
        secret="access_token",
    )
    assert Event.objects.get(verb="credential.revealed").changed == ["access_token"]


def test_one_that_went_meanwhile_is_said_and_none_is_shown(
    custodian: Client, row: Credential
) -> None:
    changed = {**row.properties, "publishable": "**********"}
    Credential.objects.filter(pk=row.pk).update(properties=changed)
    shown = text(ask(custodian, row, secret="publishable"))
    assert "no longer has the secret publishable" in shown
    assert not Reveal.objects.exists()


def test_ten_an_hour_over_all_accounts(custodian: Client, other_account: Account) -> None:
    for _ in range(MAX_REVEALS_PER_HOUR):
        ask(custodian, make_credential(make_account()))
    shown = text(ask(custodian, make_credential(other_account, make_stripe_body(SECRET))))
    assert "in an hour" in shown
    assert SECRET not in shown


def test_a_code_is_not_shown_again(custodian: Client, row: Credential) -> None:
    user = User.objects.get(pk=custodian.session["_auth_user_id"])
    device = make_recovery_codes(user, "11112222")
    session = custodian.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    assert "11112222" not in text(ask(custodian, row, reason="", otp="11112222"))


def test_ten_an_hour(custodian: Client, row: Credential) -> None:
    for _ in range(MAX_REVEALS_PER_HOUR):
        assert SECRET in text(ask(custodian, row))
    shown = text(ask(custodian, row))
    assert "in an hour" in shown
    assert SECRET not in shown


def test_five_wrong_passwords_lock_out(custodian: Client, row: Credential) -> None:
    for _ in range(5):
        ask(custodian, row, password="wrong")
    shown = text(ask(custodian, row))
    assert "Too many failures" in shown
    assert SECRET not in shown


def test_looking_at_the_form_opens_no_seal(
    custodian: Client, row: Credential, no_unsealing: None
) -> None:
    response = custodian.get(f"/admin/credentials/credential/{row.pk}/reveal/")
    assert response.status_code == 200


def test_a_row_that_does_not_open_says_so(
    custodian: Client, row: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SecretUnavailableError()

    monkeypatch.setattr("credentials.services.reveal.decrypt_secrets", refuse)
    assert "cannot be decrypted" in text(ask(custodian, row))


def test_an_operator_may_not(row: Credential, staff_client: Any) -> None:
    assert ask(staff_client("Operator"), row).status_code == 403
    assert not Reveal.objects.exists()


def test_staff_of_no_group_may_not(row: Credential) -> None:
    browser = Client()
    browser.force_login(make_staff())
    assert ask(browser, row).status_code == 403
