"""The vault for other packages: the check of the keyring, fingerprints, identities, signing keys."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from vault.key_usage import count_rows_of_key
from vault.keyring import KEY_BYTES, Keyring, derive_key, get_keyring
from vault.models import INDEX_KEY_ID, Canary, IndexKey
from vault.sealing import (
    Place,
    SealedValue,
    SecretUnavailableError,
    get_sealing_suite,
    seal,
    unseal,
)

FINGERPRINT_BYTES: Final = 16

_known_index_key: bytes | None = None


def verify_keyring() -> None:
    """Check at start-up that the keyring fits the database. Add what a new database lacks.

    Raises ImproperlyConfigured if the database is not migrated, if a key of the keyring is not the one
    that encrypted this database, if a row is encrypted with a key that the keyring lacks, or if the
    index key cannot be decrypted. Any number of processes may call it concurrently.
    """
    keyring = get_keyring()
    get_sealing_suite()
    tables = set(connection.introspection.table_names())
    if not {Canary._meta.db_table, IndexKey._meta.db_table} <= tables:
        raise ImproperlyConfigured("The database is not migrated: run manage.py migrate.")
    for canary in Canary.objects.order_by("key_id"):
        if keyring.get(canary.key_id) is not None:
            _check_canary(keyring, canary)
        elif canary.forgotten_at is None:
            if rows := count_rows_of_key(canary.key_id):
                raise ImproperlyConfigured(
                    f"{keyring.source}: the key under id {canary.key_id} is missing, and {rows} rows"
                    " are sealed with it: put it back, or run rotate_keys before retiring it. If it is"
                    f" lost for good, manage.py forget_key {canary.key_id} goes on without those rows."
                )
            # The key left the keyring after a rotation, and no row needs it.
            canary.delete()
    verify_primary_key()


def verify_primary_key() -> None:
    """Check that the primary key is the one of its id in this database, and the index key as well.

    For a migration that encrypts: at that point some tables that `verify_keyring` counts in may not
    exist yet. Raises ImproperlyConfigured.
    """
    get_index_key()
    # Last, so that a start that fails leaves no canary of its key behind.
    keyring = get_keyring()
    key_id = keyring.primary.id
    canary = Canary.objects.filter(key_id=key_id).first()
    if canary is None:
        new = Canary(key_id=key_id)
        new.sealed = seal(Place.of(new, "sealed"), key_id)
        # If another process inserts it first, both use the one of that process.
        Canary.objects.bulk_create([new], ignore_conflicts=True)
        canary = Canary.objects.get(key_id=key_id)
    _check_canary(keyring, canary)


def get_index_key() -> bytes:
    """Return the 32 random bytes behind all fingerprints and identities. The first call makes them.

    Raises ImproperlyConfigured if the stored index key cannot be decrypted. It is never replaced.
    """
    if _known_index_key is not None:
        return _known_index_key
    row = IndexKey.objects.filter(pk=INDEX_KEY_ID).first()
    key = _decrypt_index_key(row.sealed if row else _create_index_key())
    # Cached only when its row is committed: with the key of a transaction that rolls back, rows would
    # get identities that no later process computes. Outside of a transaction this happens at once.
    transaction.on_commit(lambda: _cache_index_key(key))
    return key


def clear_index_key_cache() -> None:
    """Let the next call read the index key again. For tests, whose database changes."""
    _cache_index_key(None)


def compute_fingerprint(account_id: uuid.UUID | str, value: str) -> str:
    """Return 22 characters of base64url that are equal for equal secrets of one account.

    Equal secrets of two accounts have unrelated fingerprints.
    """
    return build_fingerprint_function(account_id)(value)


def build_fingerprint_function(account_id: uuid.UUID | str) -> Callable[[str], str]:
    """Return `compute_fingerprint` for one account. It makes no query, and any thread may call it."""
    keyed_mac = _get_keyed_mac(get_index_key(), "fingerprint/1", str(account_id))

    def compute(value: str) -> str:
        digest = _compute_mac(keyed_mac, _encode(value))
        return base64.urlsafe_b64encode(digest[:FINGERPRINT_BYTES]).rstrip(b"=").decode()

    return compute


def compute_identity(account_id: uuid.UUID | str, parts: Sequence[str]) -> bytes:
    """Return 32 bytes that identify the sequence `parts` within one account."""
    return build_identity_function(account_id)(parts)


def build_identity_function(account_id: uuid.UUID | str) -> Callable[[Sequence[str]], bytes]:
    """Return `compute_identity` for one account. It makes no query, and any thread may call it."""
    keyed_mac = _get_keyed_mac(get_index_key(), "identity/1", str(account_id))

    def compute(parts: Sequence[str]) -> bytes:
        encoded = [_encode(part) for part in parts]
        # The lengths keep ("a", "bc") and ("ab", "c") apart.
        return _compute_mac(keyed_mac, b"".join(len(part).to_bytes(4) + part for part in encoded))

    return compute


def get_signing_key(purpose: str) -> bytes:
    """Return 32 bytes for signatures of one purpose, unrelated to those of every other purpose."""
    return _derive_signing_key(get_index_key(), purpose)


def _check_canary(keyring: Keyring, canary: Canary) -> None:
    key_id = canary.key_id
    try:
        unseal(Place.of(canary, "sealed"), canary.sealed)
    except SecretUnavailableError:
        raise ImproperlyConfigured(
            f"{keyring.source}: the key under id {key_id} is not the one this database was sealed"
            " with: put that one back, or give the new key an id of its own."
        ) from None


def _create_index_key() -> SealedValue:
    """Store a new index key, unless another process was first. Return the stored one."""
    row = IndexKey()
    row.sealed = seal(Place.of(row, "sealed"), secrets.token_hex(KEY_BYTES))
    IndexKey.objects.bulk_create([row], ignore_conflicts=True)
    return IndexKey.objects.get(pk=INDEX_KEY_ID).sealed


def _decrypt_index_key(sealed: SealedValue) -> bytes:
    try:
        return bytes.fromhex(unseal(Place.of(IndexKey(), "sealed"), sealed))
    except SecretUnavailableError:
        raise ImproperlyConfigured(
            f"{get_keyring().source}: the index key of this database cannot be decrypted with the"
            f" given keys: put the key under id {sealed.key_id} back as it was."
        ) from None


def _cache_index_key(key: bytes | None) -> None:
    global _known_index_key
    _known_index_key = key


def _compute_mac(keyed_mac: HMAC, message: bytes) -> bytes:
    mac = keyed_mac.copy()
    mac.update(message)
    return mac.finalize()


# A copy of a MAC that has read its key costs half of a new one.
@lru_cache(maxsize=1024)
def _get_keyed_mac(key: bytes, purpose: str, account_id: str) -> HMAC:
    return HMAC(derive_key(key, f"{purpose}/{account_id}"), SHA256())


@lru_cache(maxsize=64)
def _derive_signing_key(key: bytes, purpose: str) -> bytes:
    return derive_key(key, f"signing/1/{purpose}")


def _encode(value: str) -> bytes:
    # Strings with surrogates cannot be stored, but a search for one must find nothing, not fail.
    return value.encode("utf-8", "surrogatepass")
