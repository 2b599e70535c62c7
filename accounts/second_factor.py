"""The second factor of a staff user: a key for time-based codes (RFC 6238), and recovery codes.

Staff belong to no account and can act in all, so a change is an event in the audit log of each account.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import uuid
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Account
from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes, hash_recovery_code
from common.actors import Actor
from common.db.clock import db_now
from common.errors import ConflictError
from events.services import EventTarget, record_event
from vault.sealing import SecretUnavailableError

RECOVERY_CODE_COUNT: Final = 10
CONFIRMATION_PERIOD: Final = dt.timedelta(minutes=10)
# The length of SHA-1's result, which RFC 4226 (section 4, R6) recommends.
_KEY_BYTES: Final = 20
# 80 bits in 16 letters cannot be guessed, and can still be typed.
_CODE_BYTES: Final = 10

_ISSUER: Final = "Latchkey"
_AUTHENTICATOR_NAME: Final = "Authenticator"
_RECOVERY_CODES_NAME: Final = "Recovery codes"


class SecondFactorOffer(NamedTuple):
    """A new key: `secret` in base32, as users type it, and the URI that an authenticator app reads."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "SecondFactorOffer(…)"


def get_event_target_id(user: User) -> uuid.UUID:
    """Return the id of a user in the audit log: its number, written as a UUID."""
    return uuid.UUID(int=user.pk)


def has_second_factor(user: User) -> bool:
    """Return True if the user has a confirmed authenticator."""
    return _filter_devices(user).filter(confirmed=True).exists()


def count_recovery_codes(user: User) -> int:
    """Return the number of the user's unused recovery codes."""
    return RecoveryCode.objects.filter(device__user=user, device__confirmed=True).count()


def explain_rejected_code(user: User, message: str) -> str:
    """Return `message`, or another one if no code could be accepted because of a lost key."""
    try:
        for device in _filter_devices(user).filter(confirmed=True):
            device.decrypt_key()
    except SecretUnavailableError:
        return (
            "The code was not accepted: the key of your authenticator cannot be decrypted on this"
            " server. Use a recovery code, or ask a superuser to remove your second factor."
        )
    return message


def second_factor_offer(*, user: User) -> SecondFactorOffer:
    """Create a key that counts only after `second_factor_confirm`, and return it this once.

    A key that was never confirmed is replaced. Raises ConflictError if a second factor is set up.
    """
    with transaction.atomic():
        _lock(user)
        if has_second_factor(user):
            raise ConflictError("A second factor is set up already; remove it first.")
        _filter_devices(user).delete()
        device = Authenticator(user=user, name=_AUTHENTICATOR_NAME, confirmed=False)
        key = secrets.token_bytes(_KEY_BYTES)
        device.store_key(key)
        device.save(force_insert=True)
    secret = base64.b32encode(key).decode()
    # https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    parameters = {
        "secret": secret,
        "algorithm": "SHA1",
        "digits": device.digits,
        "period": device.step,
        "issuer": _ISSUER,
    }
    label = quote(f"{_ISSUER}:{user.get_username()}")
    return SecondFactorOffer(secret, f"otpauth://totp/{label}?{urlencode(parameters)}")


def second_factor_confirm(
    *, user: User, code: str, actor: Actor
) -> tuple[Authenticator, list[str]] | None:
    """Activate the offered key, and return its device and the recovery codes, this once.

    Return None for a wrong code, and during the wait after a wrong one. Raises ConflictError if no key
    was offered in the last 10 minutes.
    """
    with transaction.atomic():
        _lock(user)
        offered = _filter_devices(user).filter(
            confirmed=False, created_at__gt=db_now() - CONFIRMATION_PERIOD
        )
        device = offered.select_for_update().first()
        if device is None:
            raise ConflictError("No key waits for its first code; start again.")
        if not device.verify_token(code):
            # Not an exception: the failure must be committed, so that the next code has to wait.
            return None
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        codes = _create_codes(user)
        _record(user, actor, "second_factor.set_up")
    return device, codes


def recovery_codes_renew(*, user: User, actor: Actor) -> list[str]:
    """Replace the recovery codes with ten new ones, and return these, this once.

    Raises ConflictError if no second factor is set up.
    """
    with transaction.atomic():
        _lock(user)
        if not has_second_factor(user):
            raise ConflictError("Set up a second factor first.")
        codes = _create_codes(user)
        _record(user, actor, "second_factor.codes_renewed")
    return codes


def second_factor_remove(*, user: User, actor: Actor) -> bool:
    """Let the user log in with the password alone again. Return False if there was no device."""
    with transaction.atomic():
        _lock(user)
        devices = _filter_devices(user), RecoveryCodes.objects.filter(user=user)
        removed = sum(rows.delete()[0] for rows in devices)
        if removed:
            _record(user, actor, "second_factor.removed")
    return bool(removed)


def _filter_devices(user: User) -> QuerySet[Authenticator]:
    devices: QuerySet[Authenticator] = Authenticator.objects.filter(user=user)
    return devices


def _lock(user: User) -> None:
    # One change of a user's second factor at a time: there may be no device row to lock.
    User.objects.select_for_update().get(pk=user.pk)


def _create_codes(user: User) -> list[str]:
    RecoveryCodes.objects.filter(user=user).delete()
    device = RecoveryCodes.objects.create(user=user, name=_RECOVERY_CODES_NAME)
    codes = [
        base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
        for _ in range(RECOVERY_CODE_COUNT)
    ]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(device=device, digest=hash_recovery_code(user.pk, code)) for code in codes
    )
    return codes


def _record(user: User, actor: Actor, verb: str) -> None:
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True):
        record_event(actor, EventTarget("user", account_id, get_event_target_id(user)), verb)
