"""Ids that sort by creation time, so that the primary key is also the order of lists."""

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
    """Return a UUID version 7 (RFC 9562 §5.7), strictly increasing within this process.

    It has 48 bits of Unix milliseconds, 12 bits of the fraction of the millisecond (§6.2, method
    3), and 62 random bits.
    """
    global _last
    millis, rest = divmod(time.time_ns(), 1_000_000)
    stamp = millis << 12 | (rest << 12) // 1_000_000
    with _lock:
        stamp = _last = max(stamp, _last + 1)
    millis, fraction = stamp >> 12, stamp & 0xFFF
    random = int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    return uuid.UUID(int=millis << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)


def get_first_uuid7_at(time: dt.datetime) -> uuid.UUID:
    """Return the lowest UUID version 7 of the millisecond of `time`."""
    millis = max(0, min(int(time.timestamp() * 1000), (1 << 48) - 1))
    return uuid.UUID(int=millis << 80 | 7 << 76 | 2 << 62)


def parse_uuid(value: object) -> uuid.UUID | None:
    """Return the UUID that `value` writes in lower-case canonical form, or None."""
    # uuid.UUID() alone would accept braces, a URN, and any place for the hyphens.
    if isinstance(value, str) and _CANONICAL.fullmatch(value):
        return uuid.UUID(value)
    return None


def to_uuid(value: uuid.UUID | str) -> uuid.UUID:
    """Return the UUID that a hand-written statement read: SQLite returns its 32 digits."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
