"""The middleware of pages with people in front of them: the API has no cookie and passes it by."""

from __future__ import annotations

from typing import Any

from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django_otp.middleware import OTPMiddleware

from config.api.errors import is_api


class _PagesOnly:
    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response if is_api(request.path) else super().__call__  # type: ignore[misc]
        found: HttpResponse = answer(request)
        return found


class BrowserCSPMiddleware(_PagesOnly, CSPMiddleware):
    pass


class BrowserSessionMiddleware(_PagesOnly, SessionMiddleware):
    pass


class BrowserAuthenticationMiddleware(_PagesOnly, AuthenticationMiddleware):
    pass


class BrowserOTPMiddleware(_PagesOnly, OTPMiddleware):
    pass


class BrowserMessageMiddleware(_PagesOnly, MessageMiddleware):
    pass
