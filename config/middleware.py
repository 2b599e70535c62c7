"""Middleware of every request: its id, the client's address, and checks of the request target."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote_to_bytes

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from common import strict_json
from common.errors import (
    BadRequestError,
    ForbiddenError,
    LengthRequiredError,
    ServiceError,
    UnsupportedMediaTypeError,
    UriTooLongError,
)
from common.http import LatchkeyRequest
from config.api.errors import bad_request, build_problem_response

GetResponse = Callable[[HttpRequest], HttpResponse]
MONITORING_PATHS: Final = frozenset({"/metrics", "/healthz", "/readyz"})
MAX_TARGET: Final = 4096
MAX_PARAMETERS: Final = 100
# The paths of the proxy are not served here, but its callers expect JSON, too.
_API_PREFIXES: Final = ("/v1/", "/api/", "/proxy/", "/link/oauth2/token")
_CHARSETS: Final = {"utf-8", "utf8", "us-ascii"}
_REQUEST_ID: Final = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RequestContextMiddleware:
    """Sets the attributes of LatchkeyRequest, and sends the id as `X-Request-Id`."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        context = cast(LatchkeyRequest, request)
        context.request_id = get_request_id(request.META.get("HTTP_X_REQUEST_ID", ""))
        context.client_ip = get_client_ip(request)
        context.is_api = is_api_path(request.path)
        context.rate_limit_headers, context.rate_limit_remaining = {}, None
        structlog.contextvars.bind_contextvars(request_id=context.request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-Id"] = context.request_id
        if context.is_api:
            response.setdefault("Cache-Control", "no-store")
        return response


class ForwardedProtoMiddleware:
    """Rejects a request for a page if it is not known whether it came over https.

    Without this, the page would be redirected to itself again and again.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        header = settings.SECURE_PROXY_SSL_HEADER
        is_page = not cast(LatchkeyRequest, request).is_api and request.path not in MONITORING_PATHS
        if settings.SECURE_SSL_REDIRECT and header and is_page and header[0] not in request.META:
            return HttpResponse(
                "The request has no header X-Forwarded-Proto, so Latchkey cannot know whether it came"
                " over https. The reverse proxy in front must set it on every request (nginx:"
                " proxy_set_header X-Forwarded-Proto $scheme;). See docs/running.md.\n",
                status=400,
                content_type="text/plain; charset=utf-8",
                headers={"Cache-Control": "no-store"},
            )
        return self.get_response(request)


class StrictTargetMiddleware:
    """Rejects a query string that can be read in two ways, and a request target that is too long."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if cast(LatchkeyRequest, request).is_api:
            try:
                check_request_target(request.META)
                check_charset(request)
                request.get_host()
                # Not redirected: the token has crossed the network by then (ASVS 5.0, 4.1.2).
                if settings.SECURE_SSL_REDIRECT and not request.is_secure():
                    raise ForbiddenError("The API is available over https only.")
            except DisallowedHost:
                unknown_host = BadRequestError("The Host is not one of ours.")
                return build_problem_response(request, unknown_host.status, unknown_host)
            except ServiceError as error:
                return build_problem_response(request, error.status, error)
        elif "%00" in request.META.get("QUERY_STRING", ""):
            return bad_request(request, SuspiciousOperation("NUL in the query string"))
        return self.get_response(request)


class HostCheckMiddleware(CommonMiddleware):
    """Django's check of the Host, but for the monitoring endpoints.

    Load balancers and Prometheus address a process by its IP, and these responses name no host.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        if request.path in MONITORING_PATHS:
            return None
        return super().process_request(request)


def is_api_path(path: str) -> bool:
    """Return whether `path` belongs to the API, where errors are JSON and no browser's middleware runs."""
    return path.startswith(_API_PREFIXES) or path in {"/v1", "/api"}


def get_request_id(sent: str) -> str:
    """Return the id that the trusted proxy in front sent, or a new one, in hex.

    Without a trusted proxy, `sent` comes from the client and is ignored.
    """
    # It is stored in the audit log, so it must be an id and nothing else.
    if settings.TRUSTED_PROXIES and _REQUEST_ID.fullmatch(sent):
        return uuid.UUID(sent).hex
    return uuid.uuid4().hex


def get_client_ip(request: HttpRequest, *_: Any) -> str | None:
    """Return the address of the peer, or the one that the trusted proxies report."""
    return read_client_ip(request.META)


def read_client_ip(meta: Mapping[str, Any]) -> str | None:
    """Return the client's address from a WSGI environ, as `get_client_ip`."""
    peer = meta.get("REMOTE_ADDR", "")
    hops = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    trusted = settings.TRUSTED_PROXIES
    # Each proxy appends the address that it saw, so with n trusted proxies the n-th from the
    # right is the client's. The client can invent everything left of it.
    forwarded = hops[-trusted] if trusted and len(hops) >= trusted else ""
    return _parse_address(forwarded) or _parse_address(peer)


def _parse_address(text: str) -> str | None:
    """Return the IP address in `text`, or None. Some proxies add brackets, a port or a zone."""
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
    """Raise BadRequestError, UriTooLongError (414) or LengthRequiredError (411)."""
    query = meta.get("QUERY_STRING", "")
    if query:
        _check_query(query)
    if len(meta.get("PATH_INFO", "")) + len(query) > MAX_TARGET:
        raise UriTooLongError(f"The request target must be at most {MAX_TARGET} bytes.")
    if meta.get("HTTP_TRANSFER_ENCODING") and not meta.get("CONTENT_LENGTH"):
        # WSGI reads a chunked body as empty: the call would succeed and change nothing.
        raise LengthRequiredError("A body needs a Content-Length.")


def check_charset(request: HttpRequest) -> None:
    """Raise UnsupportedMediaTypeError for a body whose declared charset is not UTF-8."""
    charset = (request.content_params or {}).get("charset")
    if charset is not None and charset.lower() not in _CHARSETS:
        raise UnsupportedMediaTypeError("The charset must be utf-8.")


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
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise BadRequestError("The query string has the same parameter twice.")
    if len(query) > MAX_TARGET and "metadata" in parameters:
        # An error in the JSON tells the caller more than the length does.
        strict_json.loads(parameters["metadata"])
