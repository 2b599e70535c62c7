"""The decorator of browser pages: security headers, no caching, and errors rendered as pages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.views.csrf import csrf_failure as django_csrf_failure
from django.views.decorators.csrf import csrf_exempt

from common.actors import Actor
from common.errors import ServiceError
from common.http import build_actor
from credentials.connect.browser_binding import get_browser_id
from credentials.connect.errors import ConnectError
from credentials.connect.speculative_requests import build_speculative_response, is_speculative

logger = structlog.get_logger(__name__)

View = Callable[..., HttpResponse]

# `form-action` also limits the redirects after a form in Chromium, including those of the provider's
# login. So the pages after Continue and after a form go on by themselves instead of redirecting.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def connect_page(*methods: str, one_time: bool = False) -> Callable[[View], View]:
    """Decorate a view for browsers: ConnectError and ServiceError become a page with the reason.

    A prefetch never reaches the view, nor does HEAD if a GET works only once (`one_time`).
    """
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in allowed:
                return add_security_headers(HttpResponseNotAllowed(allowed))
            if request.method != "POST" and is_speculative(request):
                return add_security_headers(build_speculative_response(request))
            if request.method == "HEAD" and one_time:
                return add_security_headers(HttpResponse(status=204))
            try:
                response = view(request, *args, **kwargs)
            except ConnectError as error:
                response = render_error(request, error)
            except ServiceError as error:
                response = render_error(request, ConnectError("bad_request", error.detail))
            return add_security_headers(response)

        # Without POST there is nothing to forge, and 405 says more than a failed CSRF check.
        return wrapper if "POST" in methods else csrf_exempt(wrapper)

    return decorate


def render_error(request: HttpRequest, error: ConnectError) -> HttpResponse:
    """Render the error's page. It shows the request id, by which staff find the log entry."""
    message = error.message
    logger.info("connect page", code=error.code, status=message.status)
    context = {
        "title": message.title,
        "advice": message.advice,
        "detail": error.detail,
        "return_url": error.return_url,
        "retry_url": error.retry_url,
        "request_id": getattr(request, "request_id", ""),
    }
    response = render(request, "connect/failed.html", context, status=message.status)
    if message.retry_after is not None:
        response["Retry-After"] = str(message.retry_after)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Render the page for a failed CSRF check (Django's CSRF_FAILURE_VIEW)."""
    if not request.path.startswith("/connect/"):
        return django_csrf_failure(request, reason)
    # The page sets both cookies, so a browser that sends neither does not keep any.
    has_cookie = settings.CSRF_COOKIE_NAME in request.COOKIES or get_browser_id(request)
    error = ConnectError("form_stale" if has_cookie else "cookies_off")
    if request.resolver_match is not None:
        error.retry_url = reverse("connect-link", args=[request.resolver_match.kwargs["token"]])
    return add_security_headers(render_error(request, error))


def add_security_headers(response: HttpResponse) -> HttpResponse:
    # Django would log the URL of an error response, and these URLs contain tokens.
    response._has_been_logged = True  # type: ignore[attr-defined]
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.setdefault("Referrer-Policy", "no-referrer")
    response["X-Robots-Tag"] = "noindex"
    patch_cache_control(response, no_store=True)
    return response


def redirect_see_other(url: str) -> HttpResponse:
    """Return a 303, after which the browser always sends a GET (RFC 9110 §15.4.4)."""
    return HttpResponse(status=303, headers={"Location": url})


def build_anonymous_actor(request: HttpRequest) -> Actor:
    """Return the actor of a browser, of which only the flow is known."""
    return build_actor(request, "browser")
