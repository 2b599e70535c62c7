"""A staff member's own second factor: a key for codes by the clock (RFC 6238), and recovery codes.

Staff belong to no account and may act in all, so each account's trail tells of a change.
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
_KEY_BYTES: Final = 20
"""As long as SHA-1's result, which RFC 4226 (section 4, R6) recommends."""
_CODE_BYTES: Final = 10
"""80 bits in 16 letters: long enough never to be guessed, short enough to be typed."""

_ISSUER: Final = "Latchkey"
_NAME: Final = "Authenticator"
_CODES_NAME: Final = "Recovery codes"


class SecondFactorOffer(NamedTuple):
    """`secret` in base32, as people type it, and in the URI that an authenticator app reads."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Offered(…)"


def get_event_target_id(user: User) -> uuid.UUID:
    """What the trail calls a user: its number, written as a UUID."""
    return uuid.UUID(int=user.pk)


def has_second_factor(user: User) -> bool:
    return _devices(user).filter(confirmed=True).exists()


def count_recovery_codes(user: User) -> int:
    return RecoveryCode.objects.filter(device__user=user, device__confirmed=True).count()


def explain_rejected_code(user: User, otherwise: str) -> str:
    """Why a code was not taken: `otherwise`, but where no code could be, as the key does not open."""
    if all(_opens(device) for device in _devices(user).filter(confirmed=True)):
        return otherwise
    return (
        "The code was not taken: the key of your authenticator does not open on this server. Use a"
        " recovery code, or ask a superuser to remove your second factor."
    )


def second_factor_offer(*, user: User) -> SecondFactorOffer:
    """A new key, which counts for nothing until a code of it is shown. It is not to be had again.

    An earlier one that was never confirmed is void. Raises Conflict where one is set up.
    """
    with transaction.atomic():
        _lock(user)
        if has_second_factor(user):
            raise ConflictError("A second factor is set up already; remove it first.")
        _devices(user).delete()
        device = Authenticator(user=user, name=_NAME, confirmed=False)
        key = secrets.token_bytes(_KEY_BYTES)
        device.store_key(key)
        device.save(force_insert=True)
    return _offered(user, device, key)


def second_factor_confirm(
    *, user: User, code: str, actor: Actor
) -> tuple[Authenticator, list[str]] | None:
    """From now on the key counts: its device and the recovery codes, to be shown this once.

    None for a wrong code, or one that comes too soon after a wrong one. Raises Conflict where no
    key was offered in the last 10 minutes.
    """
    with transaction.atomic():
        _lock(user)
        newest = _devices(user).filter(
            confirmed=False, created_at__gt=db_now() - CONFIRMATION_PERIOD
        )
        device = newest.select_for_update().first()
        if device is None:
            raise ConflictError("No key waits for its first code; start again.")
        if not device.verify_token(code):
            return None  # That it was wrong is kept: the next one has to wait.
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        codes = _new_codes(user)
        _tell(user, actor, "second_factor.set_up")
    return device, codes


def recovery_codes_renew(*, user: User, actor: Actor) -> list[str]:
    """Ten new codes, to be shown this once; those before are void.

    Raises Conflict where no second factor is set up.
    """
    with transaction.atomic():
        _lock(user)
        if not has_second_factor(user):
            raise ConflictError("Set up a second factor first.")
        codes = _new_codes(user)
        _tell(user, actor, "second_factor.codes_renewed")
    return codes


def second_factor_remove(*, user: User, actor: Actor) -> bool:
    """The password alone lets this user in again. False where there was no device to remove."""
    with transaction.atomic():
        _lock(user)
        of_user = _devices(user), RecoveryCodes.objects.filter(user=user)
        removed = sum(devices.delete()[0] for devices in of_user)
        if removed:
            _tell(user, actor, "second_factor.removed")
    return bool(removed)


def _devices(user: User) -> QuerySet[Authenticator]:
    found: QuerySet[Authenticator] = Authenticator.objects.filter(user=user)
    return found


def _opens(device: Authenticator) -> bool:
    try:
        device.decrypt_key()
    except SecretUnavailableError:
        return False
    return True


def _offered(user: User, device: Authenticator, key: bytes) -> SecondFactorOffer:
    """The URI: https://github.com/google/google-authenticator/wiki/Key-Uri-Format."""
    secret = base64.b32encode(key).decode()
    said = {
        "secret": secret,
        "algorithm": "SHA1",
        "digits": device.digits,
        "period": device.step,
        "issuer": _ISSUER,
    }
    label = quote(f"{_ISSUER}:{user.get_username()}")
    return SecondFactorOffer(secret, f"otpauth://totp/{label}?{urlencode(said)}")


def _lock(user: User) -> None:
    """One change of a user's factor at a time."""
    User.objects.select_for_update().get(pk=user.pk)


def _new_codes(user: User) -> list[str]:
    RecoveryCodes.objects.filter(user=user).delete()
    device = RecoveryCodes.objects.create(user=user, name=_CODES_NAME)
    codes = [_code() for _ in range(RECOVERY_CODE_COUNT)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(device=device, digest=hash_recovery_code(user.pk, code)) for code in codes
    )
    return codes


def _code() -> str:
    return base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()


def _tell(user: User, actor: Actor, verb: str) -> None:
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True):
        record_event(actor, EventTarget("user", account_id, get_event_target_id(user)), verb)
