"""The two suites: how plaintext becomes the body of a seal, bound to bytes that are not in the body.

Suite 1 is AES-256-CBC and HMAC-SHA256, encrypt-then-MAC: 16 bytes of random vector, ciphertext, 32
bytes of MAC. Suite 2 is AES-256-GCM: 12 bytes of random nonce, ciphertext, 16 bytes of tag; NIST
SP 800-38D §8.3 allows 2^32 seals under one key.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

from vault.keyring import Key, derive_subkey

_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class DecryptionError(Exception):
    """A body that does not open with this key and these bound bytes."""


class BoundSigner:
    """The MAC of suite 1, for `FernetBytes`: HMAC-SHA256 over what is bound, then the payload.

    It has no timestamp: the age of a seal is nobody's business and proves nothing.
    """

    def __init__(self, keyed: HMAC, bound: bytes) -> None:
        self._keyed = keyed
        self._bound = struct.pack(">I", len(bound)) + bound

    def sign(self, value: bytes) -> bytes:
        return value + self._mac(value)

    def unsign(self, signed: bytes, ttl: object = None) -> bytes:
        value, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(value)):
            raise InvalidToken
        return value

    def _mac(self, value: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(self._bound + value)
        return mac.finalize()


def _fernet(key: Key, bound: bytes) -> FernetBytes:
    return FernetBytes(
        derive_subkey(key, "seal/1/encryption"), signer=BoundSigner(_keyed(key), bound)
    )


@lru_cache(maxsize=64)
def _keyed(key: Key) -> HMAC:
    """A MAC that has taken in its key and nothing else: copies of it cost half of a new one."""
    return HMAC(derive_subkey(key, "seal/1/mac"), SHA256())


@lru_cache(maxsize=64)
def _gcm(key: Key) -> AESGCM:
    return AESGCM(derive_subkey(key, "seal/2"))


def _seal_1(key: Key, bound: bytes, plain: bytes) -> bytes:
    body: bytes = _fernet(key, bound).encrypt(plain)
    return body


def _open_1(key: Key, bound: bytes, body: bytes) -> bytes:
    try:
        plain: bytes = _fernet(key, bound).decrypt(body)
    except (InvalidToken, ValueError):
        raise DecryptionError from None
    return plain


def _seal_2(key: Key, bound: bytes, plain: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _gcm(key).encrypt(nonce, plain, bound)


def _open_2(key: Key, bound: bytes, body: bytes) -> bytes:
    try:
        return _gcm(key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise DecryptionError from None


CipherFunction = Callable[[Key, bytes, bytes], bytes]
"""Takes the key, what is bound, and the plaintext or the body."""

SEALERS: Final[dict[int, CipherFunction]] = {1: _seal_1, 2: _seal_2}
UNSEALERS: Final[dict[int, CipherFunction]] = {1: _open_1, 2: _open_2}
"""These raise Shut for a body that is not exactly what the sealer made."""
