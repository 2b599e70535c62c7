"""Second factors for tests, with a key and codes that the test knows."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import User
from django_otp.oath import totp

from accounts.otp_devices import Authenticator, RecoveryCode, RecoveryCodes, hash_recovery_code

AUTHENTICATOR_KEY: Final = b"cnryFactorKey18wQzX5"


def make_authenticator(user: User, key: bytes = AUTHENTICATOR_KEY) -> Authenticator:
    device = Authenticator(user=user, name="phone")
    device.store_key(key)
    device.save()
    return device


def make_recovery_codes(user: User, *codes: str) -> RecoveryCodes:
    device: RecoveryCodes = RecoveryCodes.objects.create(user=user, name="codes")
    for code in codes:
        RecoveryCode.objects.create(device=device, digest=hash_recovery_code(user.pk, code))
    return device


def compute_code(key: bytes = AUTHENTICATOR_KEY, steps: int = 0) -> str:
    """Return the current code, or that of `steps` steps later."""
    return f"{totp(key, drift=steps):06d}"


def clear_throttling() -> None:
    """End the wait that follows a wrong code."""
    for model in (Authenticator, RecoveryCodes):
        model.objects.update(throttling_failure_count=0, throttling_failure_timestamp=None)
