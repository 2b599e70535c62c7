"""The two suites: encryption of bytes, authenticated together with associated data.

Suite 1 is AES-256-CBC and HMAC-SHA256, encrypt-then-MAC: 16 bytes of random vector, ciphertext, 32
bytes of MAC. Suite 2 is AES-256-GCM: 12 bytes of random nonce, ciphertext, 16 bytes of tag; NIST
SP 800-38D §8.3 allows 2^32 encryptions under one key.
"""

from __future__ import annotations

import hmac
import os
import struct
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

from vault.keyring import Key, derive_subkey

_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class DecryptionError(Exception):
    """The bytes were not encrypted with this key and this associated data."""


class Cipher(Protocol):
    """A suite. `data` is authenticated with the plaintext, but is not part of what is returned."""

    def encrypt(self, key: Key, data: bytes, plaintext: bytes) -> bytes: ...

    def decrypt(self, key: Key, data: bytes, body: bytes) -> bytes:
        """Return the plaintext. Raise DecryptionError for anything but what `encrypt` returned."""
        ...


class DataSigner:
    """The MAC of suite 1, for `FernetBytes`: HMAC-SHA256 over the associated data, then the payload.

    It has no timestamp, because the age of a ciphertext proves nothing.
    """

    def __init__(self, mac: HMAC, data: bytes) -> None:
        self._mac = mac
        # The length in front keeps the data and the payload apart.
        self._data = struct.pack(">I", len(data)) + data

    def sign(self, value: bytes) -> bytes:
        return value + self._compute_mac(value)

    def unsign(self, signed: bytes, ttl: object = None) -> bytes:
        value, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._compute_mac(value)):
            raise InvalidToken
        return value

    def _compute_mac(self, value: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(self._data + value)
        return mac.finalize()


class CbcHmacCipher:
    """Suite 1: AES-256-CBC and HMAC-SHA256."""

    def encrypt(self, key: Key, data: bytes, plaintext: bytes) -> bytes:
        body: bytes = self._build_fernet(key, data).encrypt(plaintext)
        return body

    def decrypt(self, key: Key, data: bytes, body: bytes) -> bytes:
        try:
            plaintext: bytes = self._build_fernet(key, data).decrypt(body)
        except (InvalidToken, ValueError):
            raise DecryptionError from None
        return plaintext

    def _build_fernet(self, key: Key, data: bytes) -> FernetBytes:
        signer = DataSigner(get_keyed_mac(key), data)
        return FernetBytes(derive_subkey(key, "seal/1/encryption"), signer=signer)


class GcmCipher:
    """Suite 2: AES-256-GCM."""

    def encrypt(self, key: Key, data: bytes, plaintext: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + get_gcm(key).encrypt(nonce, plaintext, data)

    def decrypt(self, key: Key, data: bytes, body: bytes) -> bytes:
        try:
            return get_gcm(key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], data)
        except (InvalidTag, ValueError):
            raise DecryptionError from None


# A copy of a MAC that has read its key costs half of a new one.
@lru_cache(maxsize=64)
def get_keyed_mac(key: Key) -> HMAC:
    """Return a MAC with the key's subkey, to be copied and never updated."""
    return HMAC(derive_subkey(key, "seal/1/mac"), SHA256())


@lru_cache(maxsize=64)
def get_gcm(key: Key) -> AESGCM:
    """Return the AES-GCM of the key's subkey."""
    return AESGCM(derive_subkey(key, "seal/2"))


# The numbers are stored in the header of each ciphertext.
CIPHERS: Final[dict[int, Cipher]] = {1: CbcHmacCipher(), 2: GcmCipher()}
