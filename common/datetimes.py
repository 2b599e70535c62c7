"""Datetimes as text: RFC 3339, written in UTC with `Z`, and never read without an offset."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def format_rfc3339(value: dt.datetime | None) -> str | None:
    """Return `value` in UTC with `Z`: six digits of microseconds, or none if they are zero."""
    if value is None:
        return None
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def parse_rfc3339(text: object) -> dt.datetime | None:
    """Return the datetime that `text` denotes by RFC 3339 §5.6, in UTC, or None if it is invalid."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        return None
    try:
        return dt.datetime.fromisoformat(text.upper().replace(" ", "T")).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
