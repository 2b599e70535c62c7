"""The WSGI application: from bytes on a connection to a use, and back.

It needs of its server what WSGI leaves open: `RAW_URI` (the target as it came), bodies in chunks, a
connection that ends unfinished when the iteration raises, and `gunicorn.socket`, by which a caller
who went away is noticed. docs/proxy.md says why the server is gunicorn.
"""

from __future__ import annotations

import http
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from common.concurrency import release_connection
from common.errors import BadRequestError, ForbiddenError, ServiceError
from credentials.proxy import caller_token, metrics
from credentials.proxy.disconnect_watcher import DisconnectWatcher
from credentials.proxy.errors import ClientDisconnectedError
from credentials.proxy.handler import ProxyHandler, ProxyRequest, ProxyResponse
from credentials.proxy.target import parse_target
from egress import Client
from egress.sockets import reset_connection

log = structlog.get_logger(__name__)

Environ = Mapping[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]
Refuse = Callable[[str, str, Exception], tuple[int, list[tuple[str, str]], bytes]]

CALLER_SECONDS: Final = 120
"""So long may a caller take over each piece that they send or read."""


class Proxy:
    """Thread-safe. `client_ip` reads the caller's address from an environ; `refuse` makes the answer
    (status, headers, body) for a path, a request id and an exception."""

    def __init__(
        self, *, client: Client, client_ip: Callable[[Environ], str | None], refuse: Refuse
    ) -> None:
        self._uses = ProxyHandler(client)
        self._watch = DisconnectWatcher()
        self._client_ip = client_ip
        self._refuse = refuse

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        request_id = uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        ours = ("Latchkey-Request-Id", request_id)
        try:
            reply = self._reply(environ, request_id)
        except Exception as error:
            status, headers, body = self._refused(environ, request_id, error)
            start(_line(status), [*headers, ours])
            return [body]
        finally:
            release_connection()
        try:
            start(_line(reply.status), [*reply.headers, ours])
        except Exception:
            reply.body.close()  # The server has nothing to close yet.
            raise
        return reply.body

    def _reply(self, environ: Environ, request_id: str) -> ProxyResponse:
        asked = _asked(environ, request_id, self._client_ip(environ))
        sock = environ.get("gunicorn.socket")
        if sock is not None:
            sock.settimeout(CALLER_SECONDS)
        descriptor = sock.fileno() if sock is not None else None
        # Where the end of the connection is the end of the body, only a reset shows that it broke.
        to_the_end = environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
        return self._uses.handle(
            asked,
            watched=lambda line: self._watch.watch(descriptor, line.cancel),
            on_break=lambda: reset_connection(sock) if to_the_end and sock is not None else None,
        )

    def _refused(
        self, environ: Environ, request_id: str, error: Exception
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if isinstance(error, ClientDisconnectedError):
            metrics.BROKEN_STREAMS.labels("caller").inc()
            error = BadRequestError("The request ended before it was whole.")
        raw = str(environ.get("RAW_URI", ""))
        status, headers, body = self._refuse(raw.partition("?")[0], request_id, error)
        metrics.REJECTED.labels(str(status)).inc()
        code = error.extra.get("code") if isinstance(error, ServiceError) else None
        log.info("proxy.refused", status=status, code=code)
        return status, headers, body if environ["REQUEST_METHOD"] != "HEAD" else b""


def _asked(environ: Environ, request_id: str, client_ip: str | None) -> ProxyRequest:
    """Raises Problem for a request that is not fit, or whose caller may not use credentials."""
    started = time.monotonic()
    raw = str(environ["RAW_URI"])
    target = parse_target(raw)
    here = _here(environ)
    if environ["REQUEST_METHOD"] in {"CONNECT", "TRACE"}:
        raise BadRequestError("This method is not passed on.")
    held = caller_token.find_token(environ, raw)
    who = caller_token.authenticate_caller(held, request_id=request_id, client_ip=client_ip)
    return ProxyRequest(
        method=str(environ["REQUEST_METHOD"]),
        target=target,
        environ=environ,
        token=held,
        principal=who,
        origin=here,
        started_at=started,
    )


def _here(environ: Environ) -> str:
    """Our own origin as the caller has it. Raises BadRequest for a Host that is none of ours."""
    host = str(environ.get("HTTP_HOST", ""))
    name, _ = split_domain_port(host)
    if not name or not validate_host(name, settings.ALLOWED_HOSTS):
        raise BadRequestError("The Host is not one of ours.")
    if not settings.SECURE_SSL_REDIRECT:
        return f"http://{host}"
    header = settings.SECURE_PROXY_SSL_HEADER
    if header is None or environ.get(header[0]) != header[1]:
        raise ForbiddenError("The API answers over https alone.")
    return f"https://{host}"


def _line(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"
