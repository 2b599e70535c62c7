"""A staff member's own second factor: a key for codes by the clock (RFC 6238), and recovery codes.

Staff belong to no account and may act in all, so each account's trail tells of a change.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import uuid
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import Account
from common.callers import Actor
from common.clock import db_now
from common.errors import Conflict
from events.services import record

CODES: Final = 10
CONFIRM_WITHIN: Final = dt.timedelta(minutes=10)
_CODE_BYTES: Final = 10
"""80 bits in 16 letters, which is what the column takes: long enough never to be guessed."""

_NAME: Final = "Authenticator"
_CODES_NAME: Final = "Recovery codes"


class Offered(NamedTuple):
    """`secret` in base32, as people type it, and in the URI that an authenticator app reads."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Offered(…)"


def target_of(user: User) -> uuid.UUID:
    """What the trail calls a user: its number, written as a UUID."""
    return uuid.UUID(int=user.pk)


def is_set_up(user: User) -> bool:
    return _devices(user).filter(confirmed=True).exists()


def codes_left(user: User) -> int:
    tokens = StaticToken.objects.filter(device__user=user, device__confirmed=True)
    return int(tokens.count())


def second_factor_offer(*, user: User) -> Offered:
    """A new key, which counts for nothing until a code of it is shown. It is not to be had again.

    An earlier one that was never confirmed is void. Raises Conflict where one is set up.
    """
    with transaction.atomic():
        _lock(user)
        if is_set_up(user):
            raise Conflict("A second factor is set up already; remove it first.")
        _devices(user).delete()
        device = TOTPDevice.objects.create(user=user, name=_NAME, confirmed=False)
    return Offered(base64.b32encode(device.bin_key).decode(), device.config_url)


def second_factor_confirm(
    *, user: User, code: str, actor: Actor
) -> tuple[TOTPDevice, list[str]] | None:
    """From now on the key counts: its device and the recovery codes, to be shown this once.

    None for a wrong code, or one that comes too soon after a wrong one. Raises Conflict where no
    key was offered in the last 10 minutes.
    """
    with transaction.atomic():
        _lock(user)
        newest = _devices(user).filter(confirmed=False, created_at__gt=db_now() - CONFIRM_WITHIN)
        device = newest.select_for_update().first()
        if device is None:
            raise Conflict("No key waits for its first code; start again.")
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
        if not is_set_up(user):
            raise Conflict("Set up a second factor first.")
        codes = _new_codes(user)
        _tell(user, actor, "second_factor.codes_renewed")
    return codes


def second_factor_remove(*, user: User, actor: Actor) -> None:
    """The password alone lets this user in again. Nothing happens where there is no device."""
    with transaction.atomic():
        _lock(user)
        removed = [*_devices(user), *StaticDevice.objects.filter(user=user)]
        for device in removed:
            device.delete()
        if removed:
            _tell(user, actor, "second_factor.removed")


def _devices(user: User) -> QuerySet[TOTPDevice]:
    found: QuerySet[TOTPDevice] = TOTPDevice.objects.filter(user=user)
    return found


def _lock(user: User) -> None:
    """One change of a user's factor at a time."""
    User.objects.select_for_update().get(pk=user.pk)


def _new_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name=_CODES_NAME)
    codes = [_code() for _ in range(CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return codes


def _code() -> str:
    return base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()


def _tell(user: User, actor: Actor, verb: str) -> None:
    for account_id in Account.objects.order_by("pk").values_list("pk", flat=True):
        record(
            actor=actor,
            account_id=account_id,
            verb=verb,
            target_type="user",
            target_id=target_of(user),
        )
