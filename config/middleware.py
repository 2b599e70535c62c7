"""What happens to every request before any view."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse

from common import strict_json
from common.errors import (
    BadRequestError,
    ForbiddenError,
    LengthRequiredError,
    ServiceError,
    UriTooLongError,
)
from config.api.errors import bad_request, build_problem_response, is_api

GetResponse = Callable[[HttpRequest], HttpResponse]
MAX_TARGET: Final = 4096
MAX_PARAMETERS: Final = 100
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RequestContextMiddleware:
    """Gives each request an id and the client's address; the id goes out as `X-Request-Id`."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        request.request_id = uuid.uuid4().hex
        request.client_ip = get_client_ip(request)
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-Id"] = request.request_id
        if is_api(request.path):
            response.setdefault("Cache-Control", "no-store")
        return response


class StrictTargetMiddleware:
    """On API paths: one reading of the query string (UTF-8, no name twice), and a bounded target."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if is_api(request.path):
            try:
                check_request_target(request.META)
                request.get_host()
                _check_secure(request)
            except DisallowedHost:
                return build_problem_response(
                    request, (400, BadRequestError("The Host is not one of ours."))
                )
            except ServiceError as problem:
                return build_problem_response(request, (problem.status, problem))
        elif "%00" in request.META.get("QUERY_STRING", ""):
            return bad_request(request, SuspiciousOperation("NUL in the query string"))
        return self.get_response(request)


def _check_secure(request: HttpRequest) -> None:
    """Plain HTTP is refused, not redirected: the token has crossed the wire by then (ASVS 5.0, 4.1.2)."""
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        raise ForbiddenError("The API answers over https alone.")


def get_client_ip(request: HttpRequest, *_: Any) -> str | None:
    """The peer's address, or what the trusted proxies in front say it was.

    Each of TRUSTED_PROXIES proxies appended the address it saw to X-Forwarded-For, so the n-th from
    the right is the client's; anything left of it is the client's own invention.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    trusted = settings.TRUSTED_PROXIES
    forwarded = hops[-trusted] if trusted and len(hops) >= trusted else ""
    return _address(forwarded) or _address(peer)


def _address(text: str) -> str | None:
    """The IP address in `text`, which some proxies write with brackets, port or zone; else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def check_request_target(meta: dict[str, Any]) -> None:
    """Raises BadRequest, TargetTooLong (414) or LengthRequired (411)."""
    query = meta.get("QUERY_STRING", "")
    if query:
        _check_query(query)
    if len(meta.get("PATH_INFO", "")) + len(query) > MAX_TARGET:
        raise UriTooLongError(f"The request target must be at most {MAX_TARGET} bytes.")
    if meta.get("HTTP_TRANSFER_ENCODING") and not meta.get("CONTENT_LENGTH"):
        # WSGI reads a chunked body as empty, so it would be answered and change nothing.
        raise LengthRequiredError("A body needs a Content-Length.")


def _check_query(query: str) -> None:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise BadRequestError("The query string is not UTF-8.") from None
    if _BROKEN_ESCAPE.search(query):
        raise BadRequestError("The query string has a broken percent-escape.")
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(pairs) > MAX_PARAMETERS:
        raise BadRequestError(f"The query string has more than {MAX_PARAMETERS} parameters.")
    named = dict(pairs)
    if len(named) != len(pairs):
        raise BadRequestError("The query string has the same parameter twice.")
    if len(query) > MAX_TARGET and "metadata" in named:
        strict_json.loads(named["metadata"])  # What is wrong with it says more than its length.
