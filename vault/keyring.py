"""The ring of keys: read from VAULT_KEYS or VAULT_KEYS_FILE, checked before any of them is used."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES: Final = 32
ID_BYTES: Final = 16
ID_PATTERN: Final = re.compile(rf"[a-z0-9-]{{1,{ID_BYTES}}}", re.ASCII)

_FORM: Final = "write id:base64, where base64 comes from: openssl rand -base64 32"


@dataclass(frozen=True, eq=False)
class Key:
    """One key of the ring: its id and 32 bytes that are shown nowhere."""

    id: str
    material: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class Keyring:
    """Keys by id. The first seals, all open. `source` is the variable that they came from."""

    source: str
    _keys: Mapping[str, Key] = field(repr=False)
    primary: Key

    def get(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id, the primary's first."""
        return tuple(self._keys)


def get_keyring() -> Keyring:
    """The ring of this process, read once for each value of the two settings.

    Raises ImproperlyConfigured: one sentence that names the variable and what to do, no key bytes.
    """
    return _ring(settings.VAULT_KEYS, settings.VAULT_KEYS_FILE)


def derive_key(material: bytes, purpose: str) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869), independent of every other purpose's."""
    info = f"latchkey/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(material)


@lru_cache(maxsize=64)
def derive_subkey(key: Key, purpose: str) -> bytes:
    """`derive` for a key of the ring, once per process."""
    return derive_key(key.material, purpose)


@lru_cache(maxsize=8)
def _ring(keys: str, file: str) -> Keyring:
    if keys.strip() and file.strip():
        raise ImproperlyConfigured(
            "VAULT_KEYS and VAULT_KEYS_FILE are both set: unset one, so that it is plain which holds."
        )
    if file.strip():
        return _parse("VAULT_KEYS_FILE", _read(file.strip()))
    if keys.strip():
        return _parse("VAULT_KEYS", keys)
    raise ImproperlyConfigured(
        f"VAULT_KEYS is missing: {_FORM}; or name a file of such lines in VAULT_KEYS_FILE."
    )


def _read(path: str) -> str:
    """The file's text. Its mode is asked of the open file, so that it cannot be swapped between."""
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise ImproperlyConfigured(
            f"VAULT_KEYS_FILE: {path} cannot be read ({error.strerror}):"
            " name a file that this process may read."
        ) from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"VAULT_KEYS_FILE: {path} is not text: {_FORM}.") from None
    if mode & 0o077:
        raise ImproperlyConfigured(
            f"VAULT_KEYS_FILE: {path} is open to other users of this machine: chmod 600 {path}"
        )
    return content


def _parse(source: str, content: str) -> Keyring:
    keys: dict[str, Key] = {}
    for number, entry in enumerate(_entries(content), start=1):
        key = _key(source, number, entry)
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
        raise ImproperlyConfigured(f"{source} has no key: {_FORM}.")
    return Keyring(source, keys, next(iter(keys.values())))


def _entries(content: str) -> Iterator[str]:
    for line in content.splitlines():
        for entry in line.partition("#")[0].split(","):
            if entry.strip():
                yield entry.strip()


def _key(source: str, number: int, entry: str) -> Key:
    key_id, _, encoded = entry.partition(":")
    # An entry without a colon, or the wrong way round, is the key itself: only its place is named.
    if not ID_PATTERN.fullmatch(key_id):
        raise ImproperlyConfigured(
            f"{source}, entry {number}: an id has 1 to {ID_BYTES} of a-z, 0-9 and -: {_FORM}."
        )
    return Key(key_id, _material(source, key_id, encoded.strip()))


def _material(source: str, key_id: str, encoded: str) -> bytes:
    try:
        material = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ImproperlyConfigured(f"{source}: the key {key_id} is not base64: {_FORM}.") from None
    if len(material) != KEY_BYTES:
        raise ImproperlyConfigured(
            f"{source}: the key {key_id} has {len(material)} bytes, not {KEY_BYTES}: make one with"
            " openssl rand -base64 32"
        )
    if not any(material):
        raise ImproperlyConfigured(
            f"{source}: the key {key_id} is all zeros: make one with openssl rand -base64 32"
        )
    return material
