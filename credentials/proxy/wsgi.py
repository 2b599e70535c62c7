"""The proxy's WSGI application.

It needs from its server what WSGI leaves open: `RAW_URI` (the request target as it was received),
request bodies in chunks, a connection that is closed without the regular end of a body if the
iteration raises, and `gunicorn.socket` to notice that a caller disconnected. docs/proxy.md says why
the server is gunicorn.
"""

from __future__ import annotations

import http
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from common.concurrency import release_connection
from common.errors import BadRequestError, ForbiddenError, ServiceError
from credentials.proxy import caller_token, metrics
from credentials.proxy.connection import CallerConnection, ErrorResponse
from credentials.proxy.disconnect_watcher import DisconnectWatcher
from credentials.proxy.errors import ClientDisconnectedError
from credentials.proxy.handler import ProxyHandler, ProxyRequest
from credentials.proxy.headers import Environ
from credentials.proxy.target import parse_target
from egress import Client

log = structlog.get_logger(__name__)

REQUEST_ID_KEY: Final = "latchkey.request_id"
"""The key of the environ with the request's id, if the server knows it already."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
ConnectionFactory = Callable[[Environ, str, DisconnectWatcher], CallerConnection]


class Proxy:
    """The application. It is thread-safe.

    `connection_factory` makes the CallerConnection of a request from its environ and its id.
    """

    def __init__(self, *, client: Client, connection_factory: ConnectionFactory) -> None:
        self._handler = ProxyHandler(client)
        self._watcher = DisconnectWatcher()
        self._connection_factory = connection_factory

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request_id = str(environ.get(REQUEST_ID_KEY) or uuid.uuid4().hex)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        id_header = ("Latchkey-Request-Id", request_id)
        connection = self._connection_factory(environ, request_id, self._watcher)
        try:
            request = _read_request(connection)
            connection.set_timeout()
            response = self._handler.handle(request, connection)
        except Exception as error:
            rejection = _build_error_response(connection, error)
            start_response(_format_status(rejection.status), [*rejection.headers, id_header])
            return [rejection.body]
        finally:
            release_connection()
        try:
            start_response(_format_status(response.status), [*response.headers, id_header])
        except Exception:
            # The server does not know the body yet, so it would not close it.
            response.body.close()
            raise
        return response.body


def _read_request(connection: CallerConnection) -> ProxyRequest:
    """Return the authenticated request. Raises ServiceError for one that is rejected."""
    started_at = time.monotonic()
    environ = connection.environ
    raw_target, method = str(environ["RAW_URI"]), str(environ["REQUEST_METHOD"])
    target = parse_target(raw_target)
    origin = _get_origin(environ)
    if method in {"CONNECT", "TRACE"}:
        raise BadRequestError(f"The proxy does not forward {method} requests.")
    token = caller_token.find_token(environ, raw_target)
    principal = caller_token.authenticate_caller(
        token, request_id=connection.request_id, client_ip=connection.client_ip
    )
    return ProxyRequest(
        method=method,
        target=target,
        environ=environ,
        token=token,
        principal=principal,
        origin=origin,
        started_at=started_at,
    )


def _build_error_response(connection: CallerConnection, error: Exception) -> ErrorResponse:
    if isinstance(error, ClientDisconnectedError):
        metrics.BROKEN_STREAMS.labels("caller").inc()
        error = BadRequestError("The request ended before it was complete.")
    response = connection.error_response(error)
    metrics.REJECTED.labels(str(response.status)).inc()
    code = error.extra.get("code") if isinstance(error, ServiceError) else None
    log.info("proxy.rejected", status=response.status, code=code)
    if connection.environ["REQUEST_METHOD"] == "HEAD":
        return response._replace(body=b"")
    return response


def _get_origin(environ: Environ) -> str:
    """Return our own origin as the caller addressed it.

    Raises BadRequestError for an unknown Host, ForbiddenError for plain HTTP if HTTPS is required.
    """
    host = str(environ.get("HTTP_HOST", ""))
    name, _ = split_domain_port(host)
    if not name or not validate_host(name, settings.ALLOWED_HOSTS):
        raise BadRequestError("The Host is not one of this server's hosts.")
    if not settings.SECURE_SSL_REDIRECT:
        return f"http://{host}"
    header = settings.SECURE_PROXY_SSL_HEADER
    if header is None or environ.get(header[0]) != header[1]:
        raise ForbiddenError("The API is available over HTTPS only.")
    return f"https://{host}"


def _format_status(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"
