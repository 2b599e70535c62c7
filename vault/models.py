"""The vault's own rows: proofs of its keys, and the key of fingerprints and identities."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import models

from vault.fields import SealedField
from vault.keyring import ID_BYTES

INDEX_KEY_ID: Final = uuid.UUID("00000000-0000-7000-8000-000000000001")


class Canary(models.Model):
    """A known value sealed with one key: if it can be decrypted, the key of this id is the right one."""

    key_id = models.CharField(primary_key=True, max_length=ID_BYTES)
    sealed = SealedField()
    forgotten_at = models.DateTimeField(null=True)
    """When the key was declared lost, so that its rows do not keep processes from starting."""

    class Meta:
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return self.key_id


class IndexKey(models.Model):
    """The one random key of fingerprints and identities, sealed with the keyring, never replaced."""

    id = models.UUIDField(primary_key=True, default=INDEX_KEY_ID, editable=False)
    sealed = SealedField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(id=INDEX_KEY_ID), name="vault_indexkey_is_single"
            )
        ]

    def __str__(self) -> str:
        return "index key"
