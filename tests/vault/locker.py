"""A model with sealed columns for tests, which is in no registry of models."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from typing import Any

from django.db import models
from django.test.utils import isolate_apps

from common.db.ids import uuid7
from vault.fields import SealedField
from vault.sealing import Place, SealedValue, seal, unseal

ACCOUNT = uuid.UUID(int=7)

with isolate_apps("vault"):

    class Locker(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid7)
        account_id = models.UUIDField(default=ACCOUNT)
        label = models.TextField(default="")
        secrets = SealedField(null=True)
        spare = SealedField(null=True)
        objects: models.Manager[Locker] = models.Manager()

        class Meta:
            app_label = "vault"

        def __str__(self) -> str:
            return self.label


def format_keys(*ids: str) -> str:
    """Return a value of VAULT_KEYS. The bytes of each key are derived from its id."""
    return ",".join(f"{key_id}:{b64encode(derive_test_key(key_id)).decode()}" for key_id in ids)


def derive_test_key(key_id: str) -> bytes:
    return hashlib.sha256(key_id.encode()).digest()


def make_locker(value: Any = "hunter2", **fields: Any) -> Locker:
    """Store a row with `value` in `secrets`."""
    row = Locker(**fields)
    row.secrets = seal(Place.of(row, "secrets"), value)
    row.save()
    return row


def unseal_column(row: Locker, column: str = "secrets") -> Any:
    fresh = Locker.objects.get(pk=row.pk)
    return unseal(Place.of(fresh, column), getattr(fresh, column))


def flip_byte(sealed: SealedValue, at: int) -> SealedValue:
    blob = bytearray(sealed.blob)
    blob[at] ^= 1
    return SealedValue(bytes(blob))
