"""Times in and out: ISO 8601 in UTC with `Z`, and nothing without an offset."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def format_rfc3339(moment: dt.datetime | None) -> str | None:
    """`moment` in UTC, to the microsecond where it has any, with `Z`."""
    if moment is None:
        return None
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def parse_rfc3339(value: object) -> dt.datetime | None:
    """The moment that `value` writes by RFC 3339 §5.6, in UTC; None if it is no such string."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        return dt.datetime.fromisoformat(value.upper().replace(" ", "T")).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
