"""What the other rooms ask of the vault: a checked ring, fingerprints, identities, signing keys."""

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
    """Prove at start-up that the ring fits the database; make what a new database lacks.

    Raises ImproperlyConfigured when the database is not migrated, when a key of the ring is not the
    one that the database was sealed with, when a row is sealed with a key that the ring lacks, and
    when the index key does not open. A key that left the ring and that no row needs is forgotten.
    Safe in any number of processes at once.
    """
    keyring = get_keyring()
    get_sealing_suite()
    _require_tables()
    for canary in Canary.objects.order_by("key_id"):
        _check_or_retire(keyring, canary)
    verify_primary_key()


def verify_primary_key() -> None:
    """Prove that the key that seals is the one of its id in this database, and that the index opens.

    For a migration that seals: it comes before tables that `verify_ring` may want to count in.
    Raises ImproperlyConfigured.
    """
    get_index_key()
    # Last: a start that is refused must leave no trace of its key.
    _check_canary(get_keyring(), _planted_canary(get_keyring().primary.id))


def get_index_key() -> bytes:
    """The 32 random bytes behind all fingerprints and identities, made at the first call ever.

    Remembered once the row that holds it is committed for sure: a key of a transaction that rolls
    back would give rows identities that nobody finds again. Raises ImproperlyConfigured when it
    does not open; it is then never replaced.
    """
    if _known_index_key is not None:
        return _known_index_key
    key = _open_index_key(_stored_index_key() or _make_index_key())
    # Outside of a transaction this happens at once.
    transaction.on_commit(lambda: _remember_index_key(key))
    return key


def clear_index_key_cache() -> None:
    """Read the index key anew at the next call: for tests, whose database comes and goes."""
    global _known_index_key
    _known_index_key = None


def compute_fingerprint(account_id: uuid.UUID | str, value: str) -> str:
    """22 characters of base64url that tell whether two secrets of one account are the same.

    Equal secrets of two accounts have unrelated fingerprints.
    """
    digest = _digest("fingerprint/1", str(account_id), _bytes(value))
    return base64.urlsafe_b64encode(digest[:FINGERPRINT_BYTES]).rstrip(b"=").decode()


def compute_identity(account_id: uuid.UUID | str, parts: Sequence[str]) -> bytes:
    """32 bytes that stand for the sequence `parts` within one account."""
    return build_identity_function(account_id)(parts)


def build_identity_function(account_id: uuid.UUID | str) -> Callable[[Sequence[str]], bytes]:
    """`identity` for one account: what it returns asks no database, and any thread may call it."""
    keyed = _keyed(get_index_key(), "identity/1", str(account_id))

    def identify(parts: Sequence[str]) -> bytes:
        encoded = [_bytes(part) for part in parts]
        return _mac(keyed, b"".join(len(part).to_bytes(4) + part for part in encoded))

    return identify


def get_signing_key(purpose: str) -> bytes:
    """32 bytes for another room's signatures, unrelated to those of every other purpose."""
    return _signing_key(get_index_key(), purpose)


def _require_tables() -> None:
    present = connection.introspection.table_names()
    if not {Canary._meta.db_table, IndexKey._meta.db_table} <= set(present):
        raise ImproperlyConfigured("The database is not migrated: run manage.py migrate.")


def _planted_canary(key_id: str) -> Canary:
    """The canary of this key, made where there is none; whoever comes second gets the first one's."""
    found = Canary.objects.filter(key_id=key_id).first()
    if found is not None:
        return found
    canary = Canary(key_id=key_id)
    canary.sealed = seal(Place.of(canary, "sealed"), key_id)
    Canary.objects.bulk_create([canary], ignore_conflicts=True)
    return Canary.objects.get(key_id=key_id)


def _check_or_retire(keyring: Keyring, canary: Canary) -> None:
    if keyring.get(canary.key_id) is not None:
        _check_canary(keyring, canary)
    elif canary.forgotten_at is not None:
        return
    elif rows := count_rows_of_key(canary.key_id):
        raise ImproperlyConfigured(
            f"{keyring.source}: the key under id {canary.key_id} is missing, and {rows} rows are"
            " sealed with it: put it back, or run rotate_keys before retiring it. If it is lost"
            f" for good, manage.py forget_key {canary.key_id} goes on without those rows."
        )
    else:
        canary.delete()


def _check_canary(keyring: Keyring, canary: Canary) -> None:
    key_id = canary.key_id
    try:
        unseal(Place.of(canary, "sealed"), canary.sealed)
    except SecretUnavailableError:
        raise ImproperlyConfigured(
            f"{keyring.source}: the key under id {key_id} is not the one this database was sealed"
            " with: put that one back, or give the new key an id of its own."
        ) from None


def _stored_index_key() -> SealedValue | None:
    row = IndexKey.objects.filter(pk=INDEX_KEY_ID).first()
    return row.sealed if row else None


def _make_index_key() -> SealedValue:
    """Store a new index key unless another process was faster; the one that is stored then."""
    row = IndexKey()
    row.sealed = seal(Place.of(row, "sealed"), secrets.token_hex(KEY_BYTES))
    IndexKey.objects.bulk_create([row], ignore_conflicts=True)
    return IndexKey.objects.get(pk=INDEX_KEY_ID).sealed


def _open_index_key(sealed: SealedValue) -> bytes:
    try:
        return bytes.fromhex(unseal(Place.of(IndexKey(), "sealed"), sealed))
    except SecretUnavailableError:
        raise ImproperlyConfigured(
            f"{get_keyring().source}: the index key of this database does not open with the keys given:"
            f" put the key under id {sealed.key_id} back as it was."
        ) from None


def _remember_index_key(key: bytes) -> None:
    global _known_index_key
    _known_index_key = key


def _digest(purpose: str, account_id: str, message: bytes) -> bytes:
    return _mac(_keyed(get_index_key(), purpose, account_id), message)


def _mac(keyed: HMAC, message: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(message)
    return mac.finalize()


@lru_cache(maxsize=1024)
def _keyed(key: bytes, purpose: str, account_id: str) -> HMAC:
    return HMAC(derive_key(key, f"{purpose}/{account_id}"), SHA256())


@lru_cache(maxsize=64)
def _signing_key(key: bytes, purpose: str) -> bytes:
    return derive_key(key, f"signing/1/{purpose}")


def _bytes(value: str) -> bytes:
    # A search for a string that no row can hold finds nothing, instead of failing.
    return value.encode("utf-8", "surrogatepass")
