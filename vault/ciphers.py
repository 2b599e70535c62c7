"""The two suites: encryption of bytes, authenticated together with associated data.

Suite 1 is AES-256-CBC and HMAC-SHA256, encrypt-then-MAC: 16 bytes of random vector, ciphertext, 32
bytes of MAC. Suite 2 is AES-256-GCM: 12 bytes of random nonce, ciphertext, 16 bytes of tag; NIST
SP 800-38D §8.3 allows 2^32 encryptions under one key.
"""

from __future__ import annotations

import hmac
import os
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

from vault.keyring import Key, derive_subkey

_BLOCK_BYTES: Final = 16
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

    def verify(self, key: Key, data: bytes, body: bytes) -> None:
        """Raise DecryptionError for what `decrypt` rejects."""
        ...


class _NoSigner:
    """A signer for `FernetBytes` whose payload is authenticated by the caller."""

    def sign(self, value: bytes) -> bytes:
        return value

    def unsign(self, signed: bytes, ttl: object = None) -> bytes:
        return signed


class CbcHmacCipher:
    """Suite 1: AES-256-CBC and HMAC-SHA256 over the associated data, then the payload.

    It has no timestamp, because the age of a ciphertext proves nothing.
    """

    def encrypt(self, key: Key, data: bytes, plaintext: bytes) -> bytes:
        payload = self.encrypt_cbc(key, plaintext, os.urandom(_BLOCK_BYTES))
        return payload + self._compute_mac(key, data, payload)

    def decrypt(self, key: Key, data: bytes, body: bytes) -> bytes:
        self.verify(key, data, body)
        try:
            plaintext: bytes = get_fernet(key).decrypt(body[:-_MAC_BYTES])
        except (InvalidToken, ValueError):
            raise DecryptionError from None
        return plaintext

    def verify(self, key: Key, data: bytes, body: bytes) -> None:
        # Only the holder of the key can have made the MAC, and then the payload decrypts.
        payload, mac = body[:-_MAC_BYTES], body[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._compute_mac(key, data, payload)):
            raise DecryptionError

    def encrypt_cbc(self, key: Key, plaintext: bytes, iv: bytes) -> bytes:
        """Return what `FernetBytes` signs, in half of its time: with one key object for all values."""
        # PKCS #7, which always pads.
        missing = _BLOCK_BYTES - len(plaintext) % _BLOCK_BYTES
        encryptor = ciphers.Cipher(get_aes(key), modes.CBC(iv)).encryptor()
        padded = plaintext + bytes((missing,)) * missing
        return iv + encryptor.update(padded) + encryptor.finalize()

    def _compute_mac(self, key: Key, data: bytes, payload: bytes) -> bytes:
        mac = get_keyed_mac(key).copy()
        # The length in front keeps the data and the payload apart.
        mac.update(len(data).to_bytes(4) + data + payload)
        return mac.finalize()


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

    def verify(self, key: Key, data: bytes, body: bytes) -> None:
        self.decrypt(key, data, body)


@lru_cache(maxsize=64)
def get_fernet(key: Key) -> FernetBytes:
    """Return the cipher of the key's subkey from django-cryptography, without its MAC."""
    return FernetBytes(derive_subkey(key, "seal/1/encryption"), signer=_NoSigner())


@lru_cache(maxsize=64)
def get_aes(key: Key) -> algorithms.AES:
    """Return the key of `get_fernet` for the cipher of the library below it."""
    return algorithms.AES(derive_subkey(key, "seal/1/encryption"))


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
