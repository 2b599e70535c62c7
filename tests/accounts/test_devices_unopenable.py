"""Keys of the ring come and go: staff get in as long as one way to show who they are is left."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp import match_token

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
def shut(staff: User) -> User:
    Authenticator.objects.update(key=SealedValue(b"\x00damaged"))
    return staff


def test_a_retired_key_locks_nobody_out(staff: User, settings: Any) -> None:
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
    """The factor is under a key that no ring has any more."""
    ours = settings.VAULT_KEYS
    settings.VAULT_KEYS = f"{format_keys('k9')},{ours}"
    verify_keyring()
    device = Authenticator.objects.get()
    device.store_key(AUTHENTICATOR_KEY)
    device.save()
    settings.VAULT_KEYS = ours
    return staff


def test_a_key_that_still_seals_a_factor_is_missed_at_the_start(lost: User) -> None:
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


def test_verify_keys_names_a_key_that_does_not_open(shut: User) -> None:
    (found,) = iter_undecryptable()
    assert str(found) == f"accounts_authenticator.key {Authenticator.objects.get().pk}"


def test_the_api_says_so_and_lets_nobody_in(shut: User) -> None:
    answer = post_login(shut, otp=compute_code())
    assert answer.status_code == 401
    assert SAID in answer.json()["error"]


def test_the_admins_door_says_so_and_lets_nobody_in(shut: User) -> None:
    typed = {"username": shut.username, "password": "correct horse", "otp": compute_code()}
    browser = Client()
    answer = browser.post("/admin/login/", typed)
    assert answer.status_code == 200
    assert SAID in text(answer)
    assert browser.get("/admin/").status_code == 302


def test_who_does_not_know_the_password_does_not_hear_of_it(shut: User) -> None:
    assert SAID not in post_login(shut, "wrong", otp=compute_code()).json()["error"]


def test_a_recovery_code_still_opens_the_door(shut: User) -> None:
    assert post_login(shut, otp=CODE).status_code == 200


def test_it_is_no_failure_of_who_typed_the_code(shut: User) -> None:
    assert match_token(shut, compute_code()) is None
    assert Authenticator.objects.get().throttling_failure_count == 0


def test_a_wrong_code_is_just_wrong_where_the_key_opens(staff: User) -> None:
    assert post_login(staff, otp="wrong").json() == {"error": "The one-time code is wrong."}


def test_a_session_from_before_the_sealing_logs_in_again(staff: User) -> None:
    browser = Client()
    browser.force_login(staff)
    session = browser.session
    session["otp_device_id"] = "otp_totp.totpdevice/1"
    session.save()
    assert browser.get("/admin/").status_code == 302


def test_the_command_lets_the_last_superuser_in_again(
    shut: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("remove_second_factor", shut.username)
    assert capsys.readouterr().out == "removed\n"
    assert post_login(shut).status_code == 200
    event = Event.objects.get(verb="second_factor.removed")
    assert event.actor == "command:remove_second_factor"
    call_command("remove_second_factor", shut.username)
    assert capsys.readouterr().out == "there was none\n"


def test_the_command_names_a_user_that_is_not_there(db: None) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("remove_second_factor", "nobody")
