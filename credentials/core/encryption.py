"""The secrets of a credential to and from the ciphertext in its row."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from credentials.core.columns import TABLE
from credentials.models import Credential, Grant
from vault.sealing import Place, SealedValue, can_unseal, seal, unseal


def decrypt_secrets(row: Credential) -> dict[str, str]:
    """Return the values of the row's secret fields by name. Raise SecretUnavailableError."""
    return decrypt_ciphertext(row.account_id, row.id, row.secrets)


def decrypt_ciphertext(
    account_id: uuid.UUID, id: uuid.UUID, ciphertext: SealedValue | None
) -> dict[str, str]:
    """Return the secrets of a row that was read without the model, as `decrypt_secrets` does."""
    if ciphertext is None:
        return {}
    secrets: dict[str, str] = unseal(_place(account_id, id), ciphertext)
    return secrets


def can_decrypt(account_id: uuid.UUID, id: uuid.UUID, ciphertext: SealedValue) -> bool:
    """Return False if the ciphertext is damaged, of another row, or under a key that is missing."""
    return can_unseal(_place(account_id, id), ciphertext)


def encrypt_secrets(
    account_id: uuid.UUID, id: uuid.UUID, secrets: Mapping[str, str]
) -> SealedValue | None:
    """Return the ciphertext of the row with this id, None if it has no secrets."""
    return seal(_place(account_id, id), dict(secrets)) if secrets else None


def decrypt_previous_grant(grant: Grant) -> dict[str, str]:
    """Return the grant before the last refresh, {} if none is kept. Raise SecretUnavailableError."""
    if grant.previous is None:
        return {}
    previous: dict[str, str] = unseal(Place.of(grant, "previous"), grant.previous)
    return previous


def encrypt_previous_grant(grant: Grant, refresh_token: str) -> SealedValue:
    """Return the ciphertext of a grant that a refresh has just replaced."""
    return seal(Place.of(grant, "previous"), {"refresh_token": refresh_token})


def _place(account_id: uuid.UUID, id: uuid.UUID) -> Place:
    return Place(TABLE, "secrets", str(account_id), str(id))
