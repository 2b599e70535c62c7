"""How the pages are served: never cached, never framed, without script, telling no other site of us."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.csrf import csrf_failure as django_csrf_failure

from common.actors import Actor
from common.errors import ServiceError
from common.http import build_actor
from credentials.connect.errors import ConnectError

logger = structlog.get_logger(__name__)

View = Callable[..., HttpResponse]

# No form here leads elsewhere: Chromium would hold every redirect after it to `form-action`, those
# of the provider's own login included. So Continue is a link, and `back` goes on by itself.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def connect_page(*methods: str) -> Callable[[View], View]:
    """A view for browsers: what it raises as Refusal or Problem becomes a page that says why."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in methods:
                return add_security_headers(HttpResponseNotAllowed(methods))
            try:
                response = view(request, *args, **kwargs)
            except ConnectError as refusal:
                response = render_error(request, refusal)
            except ServiceError as problem:
                response = render_error(request, ConnectError("bad_request", problem.detail))
            return add_security_headers(response)

        return shown

    return decorate


def render_error(request: HttpRequest, refusal: ConnectError) -> HttpResponse:
    """The page of a refusal, with the id under which staff find it."""
    logger.info("connect page", code=refusal.code, status=refusal.message.status)
    context = {
        "title": refusal.message.title,
        "advice": refusal.message.advice,
        "detail": refusal.detail,
        "back": refusal.return_url,
        "again": refusal.retry_url,
        "request_id": getattr(request, "request_id", ""),
    }
    response = render(request, "connect/failed.html", context, status=refusal.message.status)
    if refusal.message.retry_after is not None:
        response["Retry-After"] = str(refusal.message.retry_after)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's hook for a form that did not come from its own page, or from one that is too old."""
    if not request.path.startswith("/connect/"):
        return django_csrf_failure(request, reason)
    return add_security_headers(render_error(request, ConnectError("form_stale")))


def add_security_headers(response: HttpResponse) -> HttpResponse:
    # Django would log the address of a refusal, and in these addresses are tokens.
    response._has_been_logged = True  # type: ignore[attr-defined]
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.setdefault("Referrer-Policy", "no-referrer")
    response["X-Robots-Tag"] = "noindex"
    patch_cache_control(response, no_store=True)
    return response


def redirect_see_other(url: str) -> HttpResponse:
    """303: whatever came, the next is a GET (RFC 9110 §15.4.4)."""
    return HttpResponse(status=303, headers={"Location": url})


def build_anonymous_actor(request: HttpRequest) -> Actor:
    """Somebody in a browser, whom we know by nothing but the flow."""
    return build_actor(request, "browser")
