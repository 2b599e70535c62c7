"""Requests that a browser sends before anyone has clicked: prefetch, prerender and preview."""

from __future__ import annotations

import re
from typing import Final

from django.http import HttpRequest, HttpResponse

# Sec-Purpose: https://wicg.github.io/nav-speculation/prefetch.html. The others are what browsers
# sent before it: Chromium and Safari `Purpose`, Firefox `X-Moz`, Safari `X-Purpose`.
_HEADERS: Final = ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose")
_PURPOSES: Final = frozenset({"prefetch", "prerender", "preview"})


def is_speculative(request: HttpRequest) -> bool:
    """Return whether the browser says that it only prepares a page."""
    values = " ".join(request.headers.get(name, "") for name in _HEADERS)
    return not _PURPOSES.isdisjoint(re.split(r"[;,\s]+", values.lower()))


def build_speculative_response(request: HttpRequest) -> HttpResponse:
    """Return an empty response, after which the click sends its own request."""
    # Chromium uses the response to its speculation rules for the click. After a 204, the click does
    # nothing; only a status outside of 2xx makes it send the request again.
    is_used_by_click = request.headers.get("Sec-Fetch-Mode") == "navigate"
    status = 503 if is_used_by_click else 204
    return HttpResponse(status=status)
