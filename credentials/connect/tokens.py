"""Random tokens for browsers and providers, of which only the SHA-256 is stored; PKCE challenges."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


def generate_token() -> str:
    """Return 256 random bits as 43 characters that need no escaping in a URL."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """Return what is stored of a token."""
    # 256 random bits cannot be guessed, so a slow hash would add nothing (ASVS 5.0, 6.5.2).
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def is_token(value: str) -> bool:
    return _TOKEN.fullmatch(value) is not None


def verify_code_challenge(verifier: str, challenge: str) -> bool:
    """Return whether `challenge` is the S256 of `verifier` (RFC 7636 §4.6)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    expected = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(expected, challenge.encode())
