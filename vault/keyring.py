"""The keyring: read from VAULT_KEYS or VAULT_KEYS_FILE, and checked before any key is used."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn, SupportsIndex

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES: Final = 32
ID_BYTES: Final = 16
ID_PATTERN: Final = re.compile(rf"[a-z0-9-]{{1,{ID_BYTES}}}", re.ASCII)

_FORMAT_HINT: Final = "write id:base64, where base64 comes from: openssl rand -base64 32"


@dataclass(frozen=True, eq=False)
class Key:
    """One key: its id and 32 bytes, which are in no representation and no pickle."""

    id: str
    material: bytes = field(repr=False)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("A Key cannot be pickled.")


@dataclass(frozen=True, eq=False)
class Keyring:
    """Keys by id. The primary, which is the first, encrypts; all decrypt. `source` is their variable."""

    source: str
    _keys: Mapping[str, Key] = field(repr=False)
    primary: Key

    def get(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, the primary key's first."""
        return tuple(self._keys)


def get_keyring() -> Keyring:
    """Return the keyring of this process, read once for each value of the two settings.

    Raises ImproperlyConfigured: one sentence that names the variable and what to do, no key bytes.
    """
    return _read_keyring(settings.VAULT_KEYS, settings.VAULT_KEYS_FILE)


def derive_key(material: bytes, purpose: str) -> bytes:
    """Return 32 bytes by HKDF-SHA256 (RFC 5869), independent of those of every other purpose."""
    info = f"latchkey/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(material)


@lru_cache(maxsize=64)
def derive_subkey(key: Key, purpose: str) -> bytes:
    """Return `derive_key` for a key of the keyring, computed once per process."""
    return derive_key(key.material, purpose)


@lru_cache(maxsize=8)
def _read_keyring(keys: str, file: str) -> Keyring:
    if keys.strip() and file.strip():
        raise ImproperlyConfigured(
            "VAULT_KEYS and VAULT_KEYS_FILE are both set: unset one of them."
        )
    if file.strip():
        return _parse_keyring("VAULT_KEYS_FILE", _read_file(file.strip()))
    if keys.strip():
        return _parse_keyring("VAULT_KEYS", keys)
    raise ImproperlyConfigured(
        f"VAULT_KEYS is missing: {_FORMAT_HINT}; or name a file of such lines in VAULT_KEYS_FILE."
    )


def _read_file(path: str) -> str:
    """Return the file's text. Raises ImproperlyConfigured if other users can read the file."""
    try:
        with open(path, encoding="ascii") as file:
            # The mode of the open file, so that the file cannot be replaced in between.
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise ImproperlyConfigured(
            f"VAULT_KEYS_FILE: {path} cannot be read ({error.strerror}):"
            " name a file that this process may read."
        ) from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(
            f"VAULT_KEYS_FILE: {path} is not text: {_FORMAT_HINT}."
        ) from None
    if mode & 0o077:
        raise ImproperlyConfigured(
            f"VAULT_KEYS_FILE: {path} is open to other users of this machine: chmod 600 {path}"
        )
    return content


def _parse_keyring(source: str, content: str) -> Keyring:
    keys: dict[str, Key] = {}
    lines = (line.partition("#")[0] for line in content.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    for number, entry in enumerate(entries, start=1):
        key = _parse_key(source, number, entry)
        if key.id in keys:
            raise ImproperlyConfigured(f"{source} has the id {key.id} twice: give each its own id.")
        for other in keys.values():
            if other.material == key.material:
                raise ImproperlyConfigured(
                    f"{source} has the same key under {other.id} and {key.id}: make a new one with"
                    " openssl rand -base64 32"
                )
        keys[key.id] = key
    if not keys:
        raise ImproperlyConfigured(f"{source} has no key: {_FORMAT_HINT}.")
    return Keyring(source, keys, next(iter(keys.values())))


def _parse_key(source: str, number: int, entry: str) -> Key:
    key_id, _, encoded = entry.partition(":")
    # Without a colon, or with the parts swapped, the id is the key itself, so only its place is named.
    if not ID_PATTERN.fullmatch(key_id):
        raise ImproperlyConfigured(
            f"{source}, entry {number}: an id has 1 to {ID_BYTES} of a-z, 0-9 and -: {_FORMAT_HINT}."
        )
    try:
        material = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ImproperlyConfigured(
            f"{source}: the key {key_id} is not base64: {_FORMAT_HINT}."
        ) from None
    if len(material) != KEY_BYTES:
        raise ImproperlyConfigured(
            f"{source}: the key {key_id} has {len(material)} bytes, not {KEY_BYTES}: make one with"
            " openssl rand -base64 32"
        )
    if not any(material):
        raise ImproperlyConfigured(
            f"{source}: the key {key_id} is all zeros: make one with openssl rand -base64 32"
        )
    return Key(key_id, material)
