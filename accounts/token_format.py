"""The strings that callers hold: `lk_` or `lk_sess_`, 30 random base62 digits, 6 of checksum.

Published form: `lk_(sess_)?[0-9A-Za-z]{36}`. The checksum lets a typing error or a scanner's find be
told from a token without a query (the form GitHub documents for its tokens).
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
_FORM: Final = re.compile(r"(lk_(?:sess_)?)([0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)


def generate_token(kind: str) -> str:
    """A new token (`TOKEN`) or session (`SESSION`) string; 178 bits of it are random."""
    body = "".join(secrets.choice(_DIGITS) for _ in range(30))
    return f"{kind}{body}{_checksum(kind + body)}"


def hash_token(held: str) -> bytes:
    """What we store and look up: SHA-256."""
    return hashlib.sha256(held.encode()).digest()


def get_visible_prefix(held: str) -> str:
    """The part that may be shown: enough to tell one from another, too little to use."""
    return held[
        : len(SESSION_PREFIX) + 4 if held.startswith(SESSION_PREFIX) else len(TOKEN_PREFIX) + 4
    ]


def detect_token_type(held: str) -> str | None:
    """`TOKEN`, `SESSION`, or None where form or checksum is wrong: no query is needed to refuse."""
    found = _FORM.fullmatch(held)
    if found is None or _checksum(found[1] + found[2]) != found[3]:
        return None
    return found[1]


def _checksum(text: str) -> str:
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = _DIGITS[digit] + digits
    return digits
