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
from common.errors import Problem
from credentials.connect.errors import Refusal

logger = structlog.get_logger(__name__)

View = Callable[..., HttpResponse]

# No form here leads elsewhere: Chromium would hold every redirect after it to `form-action`, those
# of the provider's own login included. So Continue is a link, and `back` goes on by itself.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def page(*methods: str) -> Callable[[View], View]:
    """A view for browsers: what it raises as Refusal or Problem becomes a page that says why."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in methods:
                return guarded(HttpResponseNotAllowed(methods))
            try:
                response = view(request, *args, **kwargs)
            except Refusal as refusal:
                response = failed(request, refusal)
            except Problem as problem:
                response = failed(request, Refusal("bad_request", problem.detail))
            return guarded(response)

        return shown

    return decorate


def failed(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """The page of a refusal, with the id under which staff find it."""
    logger.info("connect page", code=refusal.code, status=refusal.meaning.status)
    context = {
        "title": refusal.meaning.title,
        "advice": refusal.meaning.advice,
        "detail": refusal.detail,
        "back": refusal.back,
        "again": refusal.again,
        "request_id": getattr(request, "request_id", ""),
    }
    response = render(request, "connect/failed.html", context, status=refusal.meaning.status)
    if refusal.meaning.retry_after is not None:
        response["Retry-After"] = str(refusal.meaning.retry_after)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's hook for a form that did not come from its own page, or from one that is too old."""
    if not request.path.startswith("/connect/"):
        return django_csrf_failure(request, reason)
    return guarded(failed(request, Refusal("form_stale")))


def guarded(response: HttpResponse) -> HttpResponse:
    # Django would log the address of a refusal, and in these addresses are tokens.
    response._has_been_logged = True  # type: ignore[attr-defined]
    response["Content-Security-Policy"] = POLICY
    response.setdefault("Referrer-Policy", "no-referrer")
    response["X-Robots-Tag"] = "noindex"
    patch_cache_control(response, no_store=True)
    return response


def see_other(url: str) -> HttpResponse:
    """303: whatever came, the next is a GET (RFC 9110 §15.4.4)."""
    return HttpResponse(status=303, headers={"Location": url})


def onlooker(request: Any) -> Actor:
    """Somebody in a browser, whom we know by nothing but the flow."""
    return Actor(name="browser", request_id=request.request_id, ip=request.client_ip)
