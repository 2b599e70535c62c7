"""Devices of the second factor, as models of django-otp: authenticator apps and recovery codes.

Reading the tables does not give a second factor: the key is sealed, and recovery codes are hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any, Final

import structlog
from django.db import models
from django.utils import timezone
from django_otp.models import Device, ThrottlingMixin, TimestampMixin
from django_otp.oath import TOTP

from common.db.ids import uuid7
from vault.fields import SealedField
from vault.sealing import Place, SecretUnavailableError, seal, unseal
from vault.services import get_signing_key

log = structlog.get_logger(__name__)

_THROTTLING_FIELDS: Final = ("throttling_failure_count", "throttling_failure_timestamp")


class Authenticator(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc] # untyped base
    """An app that displays time-based codes (RFC 6238, SHA-1), and what is needed to check them.

    `drift` is how many steps its clock is ahead of ours, `last_t` the step of the last accepted code.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Sealed together with the id of its user: the row of another user must not give a second factor.
    key = SealedField(editable=False)
    step = models.PositiveSmallIntegerField(default=30)
    t0 = models.BigIntegerField(default=0)
    digits = models.PositiveSmallIntegerField(default=6)
    tolerance = models.PositiveSmallIntegerField(default=1)
    drift = models.SmallIntegerField(default=0)
    last_t = models.BigIntegerField(default=-1)

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @property
    def persistent_id(self) -> str:
        """The value that django-otp stores in a session. It reads the part after the slash as a number."""
        return f"{self.model_label()}/{self.id.int}"

    def store_key(self, key: bytes) -> None:
        """Seal `key` for this row and its user. The caller saves the row."""
        self.key = seal(Place.of(self, "key"), [self.user_id, key.hex()])

    def decrypt_key(self) -> bytes:
        """Return the key. Raises SecretUnavailableError."""
        user_id, key = unseal(Place.of(self, "key"), self.key)
        if user_id != self.user_id:
            raise SecretUnavailableError
        return bytes.fromhex(key)

    def verify_token(self, token: str) -> bool:
        """Return True if `token` is the code of this step, the one before or the one after.

        A code is accepted once, and none that is older than an accepted one. The caller has locked
        the row. Return False also during the wait after a wrong code, and if the key cannot be
        decrypted, which does not count as a failure.
        """
        allowed, _ = self.verify_is_allowed()
        if not allowed:
            return False
        try:
            totp = TOTP(self.decrypt_key(), self.step, self.t0, self.digits, self.drift)
        except SecretUnavailableError:
            log.error("second_factor.unopenable", device=str(self.pk), user=self.user_id)
            return False
        totp.time = time.time()
        try:
            is_valid = bool(totp.verify(int(token), self.tolerance, self.last_t + 1))
        except (TypeError, ValueError):
            is_valid = False
        if is_valid:
            # The condition keeps a code from being accepted twice even if the row is not locked.
            unused = type(self).objects.filter(pk=self.pk, last_t__lt=totp.t())
            if unused.update(last_t=totp.t(), drift=totp.drift, **_build_success_columns()):
                return True
        _store_failure(self)
        return False

    def get_throttle_factor(self) -> int:
        return 1


class RecoveryCodes(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc] # untyped base
    """A user's recovery codes, which replace a lost phone. Each is accepted once."""

    class Meta:
        verbose_name = "set of recovery codes"
        verbose_name_plural = "recovery codes"

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    def verify_token(self, token: str) -> bool:
        """Return True if `token` is one of the codes, and delete it. The caller has locked the row."""
        allowed, _ = self.verify_is_allowed()
        if not allowed:
            return False
        # One statement, so that only one of two concurrent requests finds the code.
        if self.codes.filter(digest=hash_recovery_code(self.user_id, str(token))).delete()[0]:
            RecoveryCodes.objects.filter(pk=self.pk).update(**_build_success_columns())
            return True
        _store_failure(self)
        return False

    def get_throttle_factor(self) -> int:
        return 1


class RecoveryCode(models.Model):
    """The hash of one unused recovery code."""

    device = models.ForeignKey(RecoveryCodes, models.CASCADE, related_name="codes")
    digest = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "digest"], name="accounts_recovery_code")
        ]

    def __str__(self) -> str:
        return f"code {self.pk}"


def hash_recovery_code(user_id: int, code: str) -> bytes:
    """Return the HMAC-SHA256 of a code with a key of the vault.

    A plain hash would need codes of 112 random bits (ASVS 5.0, 6.5.2).
    """
    message = f"{user_id}/{code}".encode("utf-8", "surrogatepass")
    return hmac.digest(get_signing_key("recovery codes"), message, hashlib.sha256)


def _build_success_columns() -> dict[str, Any]:
    return {
        "last_used_at": timezone.now(),
        "throttling_failure_count": 0,
        "throttling_failure_timestamp": None,
    }


def _store_failure(device: Authenticator | RecoveryCodes) -> None:
    # Not the whole row: another process may be encrypting its key again concurrently.
    device.throttle_increment(commit=False)
    device.save(update_fields=_THROTTLING_FIELDS)
