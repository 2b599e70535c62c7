"""Middleware that only pages for browsers need. The API has no cookie and skips it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from axes.middleware import AxesMiddleware
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django_otp.middleware import OTPMiddleware

from common.errors import ServiceError
from common.http import LatchkeyRequest
from config.api.errors import build_retry_page


class SkipForApi:
    """A mixin that skips the middleware on API paths."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if cast(LatchkeyRequest, request).is_api:
            response: HttpResponse = self.get_response(request)
        else:
            response = super().__call__(request)  # type: ignore[misc]
        return response


class BrowserCSPMiddleware(SkipForApi, CSPMiddleware):
    pass


class BrowserSessionMiddleware(SkipForApi, SessionMiddleware):
    pass


class BrowserAuthenticationMiddleware(SkipForApi, AuthenticationMiddleware):
    pass


class BrowserOTPMiddleware(SkipForApi, OTPMiddleware):
    pass


class BrowserMessageMiddleware(SkipForApi, MessageMiddleware):
    pass


class BrowserAxesMiddleware(SkipForApi, AxesMiddleware):
    """Replaces the response to a locked out user. The API has its own (accounts.login)."""


class BrowserErrorMiddleware:
    """Responds to a page's ServiceError that says when to try again, such as a busy login."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the page, or None for an API path and for any other exception."""
        is_temporary = isinstance(error, ServiceError) and error.retry_after is not None
        if not is_temporary or cast(LatchkeyRequest, request).is_api:
            return None
        return build_retry_page(cast(ServiceError, error))
