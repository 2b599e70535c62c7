"""How long an answer asks to be left alone: the one reader of Retry-After."""

from __future__ import annotations

import re
import time
from typing import Final

from django.utils.http import parse_http_date_safe

from egress.requests import Headers, get_header

_SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)


def parse_retry_after(headers: Headers, *, maximum: float) -> float | None:
    """Seconds, from 0 to `most`, that a Retry-After asks for (RFC 9110 §10.2.3); None: it asks for none.

    It is a number, or a date in any of the three forms (§5.6.7); what is neither is as if it were
    absent. A date counts from the answer's own Date, as the two clocks need not agree, and one that
    has passed is 0.
    """
    asked = (get_header(headers, "retry-after") or "").strip()
    if _SECONDS.fullmatch(asked):
        return min(float(asked), maximum)
    until = parse_http_date_safe(asked)
    if until is None:
        return None
    sent = parse_http_date_safe(get_header(headers, "date") or "")
    now = time.time() if sent is None else sent
    return min(max(until - now, 0.0), maximum)
