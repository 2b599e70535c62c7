"""The access log: one line for each request, without anything that could be a secret.

A path is logged as the route that it matched, with ids filled in. So neither a query, nor the token of
a connect link, nor a secret that was put into a path by mistake can be in a line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final, cast

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from common.actors import Principal
from common.http import LatchkeyRequest
from config.middleware import MONITORING_PATHS

LOGGER: Final = "latchkey.access"

log = structlog.get_logger(LOGGER)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARAMETER: Final = re.compile(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class AccessLogMiddleware:
    """Logs each request but those of monitors, if ACCESS_LOG is 1."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.ACCESS_LOG:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started_at = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        if request.path in MONITORING_PATHS:
            return response
        account, actor = _identify_actor(request)
        log.info(
            "request",
            method=format_method(request.method),
            path=format_path(match),
            status=response.status_code,
            ms=round((time.perf_counter() - started_at) * 1000, 1),
            client_ip=cast(LatchkeyRequest, request).client_ip,
            account=account,
            actor=actor,
        )
        return response


def _identify_actor(request: HttpRequest) -> tuple[str | None, str | None]:
    """Return the account and the actor of the audit log; None for what is not known."""
    principal: Any = request.__dict__.get("user")
    if isinstance(principal, Principal):
        return str(principal.account_id), principal.actor.name
    # Django's attribute, once a page has read the session: reading `user` here would be a query.
    user = getattr(request, "_cached_user", None)
    return None, f"user:{user.pk}" if user is not None and user.is_authenticated else None


def format_method(method: str | None) -> str:
    """Return a known method; a client may send any word."""
    return method if method in _METHODS else "OTHER"


def format_path(match: ResolverMatch | None) -> str:
    """Return the path by its route: `/v1/credentials/0198…`, `/connect/{token}`, or `*` without one."""
    # The last route of the API matches whatever has no other.
    if match is None or "(?:" in match.route:
        return "*"

    def fill(parameter: re.Match[str]) -> str:
        name = parameter[1] or parameter[2]
        value = str(match.kwargs.get(name, ""))
        return value if _UUID.fullmatch(value) else f"{{{name}}}"

    return "/" + _PARAMETER.sub(fill, match.route.removeprefix("^").removesuffix("$"))
