"""Middleware that only pages for browsers need. The API has no cookie and skips it."""

from __future__ import annotations

from typing import Any, cast

from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django_otp.middleware import OTPMiddleware

from common.http import LatchkeyRequest


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
