"""Which browser this is: a random cookie that ties a flow to where it began."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from credentials.connect.tokens import generate_token, hash_token, is_token

MAX_AGE: Final = 24 * 3600


def get_cookie_name() -> str:
    """The __Host- prefix keeps other hosts of the domain from setting it; it needs TLS."""
    return "__Host-connect" if settings.SESSION_COOKIE_SECURE else "connect"


def get_browser_id(request: HttpRequest) -> str | None:
    """The value of this browser's cookie; None where it has none, or one that we did not make."""
    value = request.COOKIES.get(get_cookie_name(), "")
    return value if is_token(value) else None


def hash_browser_id(request: HttpRequest) -> bytes | None:
    browser = get_browser_id(request)
    return hash_token(browser) if browser else None


def set_browser_cookie(response: HttpResponse, browser_id: str) -> None:
    """Lax, not Strict: the provider's redirect back to us comes from another site."""
    response.set_cookie(
        get_cookie_name(),
        browser_id,
        max_age=MAX_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def get_or_generate_browser_id(request: HttpRequest) -> str:
    return get_browser_id(request) or generate_token()
