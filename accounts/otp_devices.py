"""What a staff member shows beside the password, as django-otp wants it: its tables, and its check.

Whoever reads them has no second factor: the key is sealed, and of a recovery code there is a hash.
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

_FAILURES: Final = ("throttling_failure_count", "throttling_failure_timestamp")


class Authenticator(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc] # untyped base
    """An app that shows codes by the clock (RFC 6238, SHA-1), and what is needed to check them.

    `drift` is how many steps its clock is ahead of ours, `last_t` the step of the last code taken.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = SealedField(editable=False)
    """The number of its user and the key in hexadecimal digits: the row of another opens nothing."""
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
        """As django-otp keeps it in a session; it reads the part behind the slash as a number."""
        return f"{self.model_label()}/{self.id.int}"

    def store_key(self, key: bytes) -> None:
        """Seal `key` for this row and its user; saving it is the caller's."""
        self.key = seal(Place.of(self, "key"), [self.user_id, key.hex()])

    def decrypt_key(self) -> bytes:
        """The key. Raises SecretUnavailable."""
        user_id, key = unseal(Place.of(self, "key"), self.key)
        if user_id != self.user_id:
            raise SecretUnavailableError
        return bytes.fromhex(key)

    def verify_token(self, token: Any) -> bool:
        """Whether it is the code of now, a step before or after, and none as late was taken before.

        False as well while a wrong one makes it wait, and where the key does not open, which is no
        failure of whoever typed it. For a row that the caller has locked.
        """
        allowed, _ = self.verify_is_allowed()
        if not allowed:
            return False
        try:
            codes = TOTP(self.decrypt_key(), self.step, self.t0, self.digits, self.drift)
        except SecretUnavailableError:
            log.error("second_factor.unopenable", device=str(self.pk), user=self.user_id)
            return False
        codes.time = time.time()
        if self._matches(codes, token) and self._take(codes):
            return True
        _failed(self)
        return False

    def get_throttle_factor(self) -> int:
        return 1

    def _matches(self, codes: TOTP, token: Any) -> bool:
        try:
            return bool(codes.verify(int(token), self.tolerance, self.last_t + 1))
        except (TypeError, ValueError):
            return False

    def _take(self, codes: TOTP) -> bool:
        """One update that finds the row only while no code of this step, or a later one, was taken."""
        unused = type(self).objects.filter(pk=self.pk, last_t__lt=codes.t())
        taken = unused.update(last_t=codes.t(), drift=codes.drift, **_succeeded())
        return bool(taken)


class RecoveryCodes(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc] # untyped base
    """The codes that stand in for a lost phone, each good once."""

    class Meta:
        verbose_name = "set of recovery codes"
        verbose_name_plural = "recovery codes"

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    def verify_token(self, token: Any) -> bool:
        """Whether it is one of them; it is none any more then. For a row that the caller has locked."""
        allowed, _ = self.verify_is_allowed()
        if not allowed:
            return False
        # One statement, so that of two who show the same code one finds it.
        if self.codes.filter(digest=hash_recovery_code(self.user_id, str(token))).delete()[0]:
            RecoveryCodes.objects.filter(pk=self.pk).update(**_succeeded())
            return True
        _failed(self)
        return False

    def get_throttle_factor(self) -> int:
        return 1


class RecoveryCode(models.Model):
    """What is kept of a code. Of a used one, nothing."""

    device = models.ForeignKey(RecoveryCodes, models.CASCADE, related_name="codes")
    digest = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["device", "digest"], name="accounts_recovery_code")
        ]

    def __str__(self) -> str:
        return f"code {self.pk}"


def hash_recovery_code(user_id: int, code: str) -> bytes:
    """HMAC-SHA256 under a key of the vault's: a plain hash wants 112 random bits (ASVS 5.0, 6.5.2)."""
    said = f"{user_id}/{code}".encode("utf-8", "surrogatepass")
    return hmac.digest(get_signing_key("recovery codes"), said, hashlib.sha256)


def _succeeded() -> dict[str, Any]:
    return {
        "last_used_at": timezone.now(),
        "throttling_failure_count": 0,
        "throttling_failure_timestamp": None,
    }


def _failed(device: Any) -> None:
    # Not all of the row: its seal may be moving to another key meanwhile.
    device.throttle_increment(commit=False)
    device.save(update_fields=_FAILURES)
