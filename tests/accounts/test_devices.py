"""Time-based codes and recovery codes: what is stored, and how often each is accepted."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import time

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp import match_token
from django_otp.models import Device

from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes, hash_recovery_code
from accounts.second_factor import second_factor_offer
from tests.accounts.factor import (
    AUTHENTICATOR_KEY,
    clear_throttling,
    compute_code,
    make_authenticator,
    make_recovery_codes,
)
from tests.factories import make_staff
from tests.project.canaries import dump_database, find_leaks
from vault.fields import SealedField
from vault.sealing import Place, SecretUnavailableError, seal

pytestmark = pytest.mark.django_db
CODE = "cnrycodeabcdefgh"


@pytest.fixture
def staff() -> User:
    return make_staff("Operator")


def wrong_code() -> str:
    return f"{(int(compute_code()) + 500_000) % 1_000_000:06}"


def test_no_table_contains_a_key_or_code(staff):
    make_authenticator(staff)
    make_recovery_codes(staff, CODE)
    secrets = {
        "key": AUTHENTICATOR_KEY.decode(),
        "key as typed": base64.b32encode(AUTHENTICATOR_KEY).decode(),
        "code": CODE,
        "plain hash": hashlib.sha256(CODE.encode()).hexdigest(),
    }
    stored = dump_database()
    assert bytes(RecoveryCode.objects.get().digest) in stored
    assert hashlib.sha256(CODE.encode()).digest() not in stored
    assert not list(find_leaks(stored, secrets.items()))


def test_an_offered_key_is_sealed_before_it_is_confirmed(staff):
    offered = second_factor_offer(user=staff)
    key = base64.b32decode(offered.secret)
    stored = dump_database()
    assert not [
        form for form in (key, key.hex().encode(), offered.secret.encode()) if form in stored
    ]
    assert isinstance(Authenticator._meta.get_field("key"), SealedField)


def test_equal_codes_of_two_users_have_different_hashes(staff):
    assert hash_recovery_code(staff.pk, CODE) != hash_recovery_code(staff.pk + 1, CODE)


@pytest.fixture
def midstep(time_machine):
    """Move to ten seconds into a step, in the past: ids of the future would sort after all others."""
    step = int(time.time()) // 30 - 2
    time_machine.move_to(step * 30 + 10, tick=False)


@pytest.mark.usefixtures("midstep")
@pytest.mark.parametrize(
    ("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_code_of_the_step_before_or_after_is_accepted(staff, steps, taken):
    make_authenticator(staff)
    assert bool(match_token(staff, compute_code(steps=steps))) is taken


def test_code_is_accepted_once(staff):
    make_authenticator(staff)
    code = compute_code()
    assert match_token(staff, code)
    assert match_token(staff, code) is None


@pytest.mark.usefixtures("midstep")
def test_code_older_than_the_last_one_is_rejected(staff):
    make_authenticator(staff)
    before = compute_code(steps=-1)
    assert match_token(staff, compute_code())
    assert match_token(staff, before) is None


def test_stale_row_does_not_accept_a_code_twice(staff):
    """There is no row lock here: SQLite has none."""
    id = make_authenticator(staff).pk
    first, second = (Authenticator.objects.get(pk=id) for _ in range(2))
    code = compute_code()
    assert [first.verify_token(code), second.verify_token(code)] == [True, False]


@pytest.mark.usefixtures("midstep")
def test_drift_of_a_fast_clock_is_stored(staff):
    make_authenticator(staff)
    assert match_token(staff, compute_code(steps=1))
    assert Authenticator.objects.get().drift == 1
    assert match_token(staff, compute_code(steps=2))


def test_wrong_code_delays_the_right_one(staff):
    make_authenticator(staff)
    assert match_token(staff, wrong_code()) is None
    assert match_token(staff, compute_code()) is None
    Authenticator.objects.update(
        throttling_failure_timestamp=timezone.now() - dt.timedelta(seconds=1.1)
    )
    assert match_token(staff, compute_code())
    assert Authenticator.objects.get().throttling_failure_count == 0


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (5, 16), (10, 512)])
def test_each_wrong_code_doubles_the_wait(staff, failures, seconds):
    device = make_authenticator(staff)
    device.throttling_failure_count = failures
    for waited, allowed in ((seconds - 0.5, False), (seconds + 0.5, True)):
        device.throttling_failure_timestamp = timezone.now() - dt.timedelta(seconds=waited)
        assert device.verify_is_allowed()[0] is allowed


@pytest.mark.parametrize("token", ["", "abc", "½½½", "\x00", "\ud800", "9" * 5000, None])
def test_invalid_code_counts_as_wrong(staff, token):
    make_authenticator(staff)
    make_recovery_codes(staff, CODE)
    assert match_token(staff, token) is None
    assert Authenticator.objects.get().throttling_failure_count == 1
    assert RecoveryCodes.objects.get().throttling_failure_count == 1


def test_time_of_use_is_stored(staff):
    make_authenticator(staff)
    make_recovery_codes(staff, CODE)
    match_token(staff, compute_code())
    assert Authenticator.objects.get().last_used_at
    assert RecoveryCodes.objects.get().last_used_at is None
    match_token(staff, CODE)
    assert RecoveryCodes.objects.get().last_used_at


def test_recovery_code_is_accepted_once_and_deleted(staff):
    make_recovery_codes(staff, CODE, "another")
    assert match_token(staff, CODE)
    assert match_token(staff, CODE) is None
    assert RecoveryCode.objects.count() == 1


def test_stale_recovery_codes_do_not_accept_a_code_twice(staff):
    id = make_recovery_codes(staff, CODE).pk
    first, second = (RecoveryCodes.objects.get(pk=id) for _ in range(2))
    assert [first.verify_token(CODE), second.verify_token(CODE)] == [True, False]


def test_recovery_code_of_another_user_is_rejected(staff):
    make_recovery_codes(make_staff(), CODE)
    make_recovery_codes(staff, "another")
    assert match_token(staff, CODE) is None


def test_wrong_recovery_code_delays_the_right_one(staff):
    make_recovery_codes(staff, CODE)
    assert match_token(staff, "wrong") is None
    assert match_token(staff, CODE) is None
    clear_throttling()
    assert match_token(staff, CODE)


def test_key_in_the_row_of_another_user_is_rejected(staff):
    device = make_authenticator(make_staff())
    Authenticator.objects.update(user=staff)
    with pytest.raises(SecretUnavailableError):
        Authenticator.objects.get().decrypt_key()
    other = make_authenticator(staff)
    Authenticator.objects.filter(pk=device.pk).update(key=other.key)
    with pytest.raises(SecretUnavailableError):
        Authenticator.objects.get(pk=device.pk).decrypt_key()


def test_wrong_code_does_not_overwrite_a_rotated_key(staff):
    device = make_authenticator(staff)
    moved = seal(Place.of(device, "key"), [staff.pk, AUTHENTICATOR_KEY.hex()])
    Authenticator.objects.update(key=moved)
    assert not device.verify_token(wrong_code())
    assert Authenticator.objects.get().key == moved


def test_a_session_finds_its_device_again(staff):
    for device in (make_authenticator(staff), make_recovery_codes(staff)):
        assert Device.from_persistent_id(device.persistent_id) == device
    assert Device.from_persistent_id("otp_totp.totpdevice/1") is None
