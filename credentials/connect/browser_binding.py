"""Which browser this is: a random cookie that ties a flow to where it began."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from credentials.connect.tokens import digest, is_token, new_token

MAX_AGE: Final = 24 * 3600


def cookie_name() -> str:
    """The __Host- prefix keeps other hosts of the domain from setting it; it needs TLS."""
    return "__Host-connect" if settings.SESSION_COOKIE_SECURE else "connect"


def browser_of(request: HttpRequest) -> str | None:
    """The value of this browser's cookie; None where it has none, or one that we did not make."""
    value = request.COOKIES.get(cookie_name(), "")
    return value if is_token(value) else None


def browser_digest(request: HttpRequest) -> bytes | None:
    browser = browser_of(request)
    return digest(browser) if browser else None


def remember(response: HttpResponse, browser: str) -> None:
    """Lax, not Strict: the provider's redirect back to us comes from another site."""
    response.set_cookie(
        cookie_name(),
        browser,
        max_age=MAX_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def known_or_new(request: HttpRequest) -> str:
    return browser_of(request) or new_token()
