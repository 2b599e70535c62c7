"""Ids that sort by the time they were made, so that a primary key is also an order."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import time
import uuid
from typing import Final

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_lock: Final = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562 §5.7), strictly increasing within this process.

    48 bits of Unix milliseconds, 12 bits of the fraction of the millisecond (§6.2, method 3), and
    62 random bits.
    """
    global _last
    millis, rest = divmod(time.time_ns(), 1_000_000)
    stamp = millis << 12 | (rest << 12) // 1_000_000
    with _lock:
        stamp = _last = max(stamp, _last + 1)
    millis, fraction = stamp >> 12, stamp & 0xFFF
    random = int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    return uuid.UUID(int=millis << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def get_first_uuid7_at(moment: dt.datetime) -> uuid.UUID:
    """The least UUID version 7 that is made at `moment`, and greater than all made before it."""
    millis = max(0, min(int(moment.timestamp() * 1000), (1 << 48) - 1))
    return uuid.UUID(int=millis << 80 | 7 << 76 | 2 << 62)


def parse_uuid(value: object) -> uuid.UUID | None:
    """The UUID that `value` writes in lower-case canonical form, or None: no braces, no URN."""
    if isinstance(value, str) and _CANONICAL.fullmatch(value):
        return uuid.UUID(value)
    return None


def to_uuid(stored: uuid.UUID | str) -> uuid.UUID:
    """A UUID as a statement of our own reads it: PostgreSQL gives UUIDs, SQLite their 32 digits."""
    return stored if isinstance(stored, uuid.UUID) else uuid.UUID(stored)
