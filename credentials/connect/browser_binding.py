"""The cookie with a random id that ties a flow to the browser in which it began."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from credentials.connect.tokens import generate_token, hash_token, is_token

MAX_AGE: Final = 24 * 3600
"""Seconds that the browser keeps the cookie."""


def get_cookie_name() -> str:
    # The prefix keeps other hosts of the domain from setting the cookie, but browsers require TLS.
    return "__Host-connect" if settings.SESSION_COOKIE_SECURE else "connect"


def get_browser_id(request: HttpRequest) -> str | None:
    """Return the value of the cookie, or None if it is missing or not one of ours."""
    value = request.COOKIES.get(get_cookie_name(), "")
    return value if is_token(value) else None


def hash_browser_id(request: HttpRequest) -> bytes | None:
    browser_id = get_browser_id(request)
    return hash_token(browser_id) if browser_id else None


def set_browser_cookie(response: HttpResponse, browser_id: str) -> None:
    response.set_cookie(
        get_cookie_name(),
        browser_id,
        max_age=MAX_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        # With Strict, the provider's redirect would arrive without the cookie: it is cross-site.
        samesite="Lax",
    )


def get_or_generate_browser_id(request: HttpRequest) -> str:
    return get_browser_id(request) or generate_token()
