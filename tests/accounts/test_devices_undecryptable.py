"""Staff can log in while the key of their authenticator is missing, if they have a recovery code."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp import match_token

from accounts.login import LOGIN_ERROR
from accounts.otp_devices import Authenticator
from events.models import Event
from tests.accounts.factor import (
    AUTHENTICATOR_KEY,
    clear_throttling,
    compute_code,
    make_authenticator,
    make_recovery_codes,
)
from tests.accounts.test_sessions import post_login
from tests.admin.pages import text
from tests.factories import make_staff
from tests.vault.locker import format_keys
from vault.rotation import iter_undecryptable, rotate_keys
from vault.sealing import SealedValue
from vault.services import verify_keyring

CODE = "abcdefghabcdefgh"
SAID = "the key of your authenticator cannot be decrypted on this server"


@pytest.fixture
def staff(account: Any) -> User:
    staff = make_staff(is_superuser=True)
    make_authenticator(staff)
    make_recovery_codes(staff, CODE)
    return staff


@pytest.fixture
def undecryptable(staff: User) -> User:
    Authenticator.objects.update(key=SealedValue(b"\x00damaged"))
    return staff


def test_retired_key_locks_no_user_out(staff: User, settings: Any) -> None:
    verify_keyring()
    settings.VAULT_KEYS = f"{format_keys('k2')},{settings.VAULT_KEYS}"
    outcome = rotate_keys()
    assert (outcome.remaining, outcome.failed) == (0, [])
    settings.VAULT_KEYS = format_keys("k2")
    verify_keyring()
    assert Authenticator.objects.get().key.key_id == "k2"
    assert match_token(staff, compute_code())
    clear_throttling()
    assert match_token(staff, CODE)


@pytest.fixture
def lost(staff: User, settings: Any) -> User:
    """A user whose authenticator is sealed with a key that is in no keyring any more."""
    ours = settings.VAULT_KEYS
    settings.VAULT_KEYS = f"{format_keys('k9')},{ours}"
    verify_keyring()
    device = Authenticator.objects.get()
    device.store_key(AUTHENTICATOR_KEY)
    device.save()
    settings.VAULT_KEYS = ours
    return staff


def test_start_fails_without_the_key_of_a_second_factor(lost: User) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"k9 is missing, and 1 rows.*forget_key k9"):
        verify_keyring()


def test_forget_key_counts_the_factor_and_recovery_codes_still_work(
    lost: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("forget_key", "k9")
    assert capsys.readouterr().out == "accounts_authenticator.key 1\n"
    verify_keyring()
    assert SAID in post_login(lost, otp=compute_code()).json()["error"]
    clear_throttling()
    assert post_login(lost, otp=CODE).status_code == 200


def test_verify_keys_prints_an_undecryptable_device(undecryptable: User) -> None:
    (found,) = iter_undecryptable()
    assert str(found) == f"accounts_authenticator.key {Authenticator.objects.get().pk}"


def test_api_login_explains_the_undecryptable_key(undecryptable: User) -> None:
    answer = post_login(undecryptable, otp=compute_code())
    assert answer.status_code == 401
    assert SAID in answer.json()["error"]


def test_admin_login_explains_the_undecryptable_key(undecryptable: User) -> None:
    typed = {"username": undecryptable.username, "password": "correct horse", "otp": compute_code()}
    browser = Client()
    answer = browser.post("/admin/login/", typed)
    assert answer.status_code == 200
    assert SAID in text(answer)
    assert browser.get("/admin/").status_code == 302


def test_explanation_needs_the_password(undecryptable: User) -> None:
    assert SAID not in post_login(undecryptable, "wrong", otp=compute_code()).json()["error"]


def test_recovery_code_still_logs_in(undecryptable: User) -> None:
    assert post_login(undecryptable, otp=CODE).status_code == 200


def test_undecryptable_key_does_not_count_as_a_failure(undecryptable: User) -> None:
    assert match_token(undecryptable, compute_code()) is None
    assert Authenticator.objects.get().throttling_failure_count == 0


def test_wrong_code_with_a_valid_key_has_the_usual_message(staff: User) -> None:
    assert post_login(staff, otp="wrong").json() == {"error": LOGIN_ERROR}


def test_session_of_a_former_device_must_log_in_again(staff: User) -> None:
    browser = Client()
    browser.force_login(staff)
    session = browser.session
    session["otp_device_id"] = "otp_totp.totpdevice/1"
    session.save()
    assert browser.get("/admin/").status_code == 302


def test_command_removes_the_second_factor_of_the_last_superuser(
    undecryptable: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("remove_second_factor", undecryptable.username)
    assert capsys.readouterr().out == "removed\n"
    assert post_login(undecryptable).status_code == 200
    event = Event.objects.get(verb="second_factor.removed")
    assert event.actor == "command:remove_second_factor"
    call_command("remove_second_factor", undecryptable.username)
    assert capsys.readouterr().out == "there was none\n"


def test_command_rejects_an_unknown_user(db: None) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("remove_second_factor", "nobody")
