"""The strings of API tokens and sessions: a prefix, 30 random base62 digits and a checksum of 6.

The published form is `lk_(sess_)?[0-9A-Za-z]{36}`. The checksum lets a scanner recognise a token, and
us reject a typing error, without a query (as GitHub documents for its tokens).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

TOKEN_PREFIX: Final = "lk_"  # noqa: S105 - a public prefix
SESSION_PREFIX: Final = "lk_sess_"

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PATTERN: Final = re.compile(r"(lk_(?:sess_)?)([0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)


def generate_token(prefix: str) -> str:
    """Return a new token (`TOKEN_PREFIX`) or session (`SESSION_PREFIX`) string with 178 random bits."""
    body = "".join(secrets.choice(_DIGITS) for _ in range(30))
    return f"{prefix}{body}{_compute_checksum(prefix + body)}"


def hash_token(token: str) -> bytes:
    """Return the SHA-256 of `token`, which is what we store and look up."""
    return hashlib.sha256(token.encode()).digest()


def get_visible_prefix(token: str) -> str:
    """Return the part that pages display: enough to recognise a token, not enough to use it."""
    prefix = SESSION_PREFIX if token.startswith(SESSION_PREFIX) else TOKEN_PREFIX
    return token[: len(prefix) + 4]


def detect_token_type(token: str) -> str | None:
    """Return `TOKEN_PREFIX`, `SESSION_PREFIX`, or None if the form or the checksum is wrong."""
    match = _PATTERN.fullmatch(token)
    if match is None or _compute_checksum(match[1] + match[2]) != match[3]:
        return None
    return match[1]


def _compute_checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = _DIGITS[digit] + digits
    return digits
