"""Header names and values (RFC 9110 §5), and the Retry-After header."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

from django.utils.http import parse_http_date_safe

Headers = Sequence[tuple[str, str]]
"""Name and value of each header, in order; a name may occur more than once."""

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)


def get_header(headers: Headers, name: str) -> str | None:
    """Return the value of a header, several joined with commas (RFC 9110 §5.3), or None.

    The names in `headers` are lower case.
    """
    values = [value for each, value in headers if each == name.lower()]
    return ", ".join(values) if values else None


def parse_retry_after(headers: Headers, *, maximum: float) -> float | None:
    """Return the seconds in Retry-After (RFC 9110 §10.2.3), from 0 to `maximum`, or None.

    The value is a number or a date in any of three forms (§5.6.7); anything else is ignored. A date
    in the past is 0.
    """
    value = (get_header(headers, "retry-after") or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), maximum)
    retry_at = parse_http_date_safe(value)
    if retry_at is None:
        return None
    # The response's own Date is used as the present, because the two clocks may differ.
    responded_at = parse_http_date_safe(get_header(headers, "date") or "")
    now = time.time() if responded_at is None else responded_at
    return min(max(retry_at - now, 0.0), maximum)
