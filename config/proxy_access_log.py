"""The access log of the proxy. Only its server imports it: it comes with the proxy's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog

from config.access_log import LOGGER, format_method
from config.middleware import read_client_ip
from credentials.proxy.audit import build_route_pattern
from credentials.proxy.wsgi import REQUEST_ID_KEY

log = structlog.get_logger(LOGGER)


class ProxyAccessLog:
    """The proxy's WSGI application with a line for each request, once its response has ended.

    The path is a pattern, as in the audit log.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> LoggedBody:
        started_at = time.perf_counter()
        status = 0

        def start(line: str, headers: list[tuple[str, str]]) -> object:
            nonlocal status
            status = int(line.partition(" ")[0])
            return start_response(line, headers)

        def write() -> None:
            log.info(
                "request",
                method=format_method(environ["REQUEST_METHOD"]),
                path=build_route_pattern(str(environ["RAW_URI"]).partition("?")[0]),
                status=status,
                ms=round((time.perf_counter() - started_at) * 1000, 1),
                client_ip=read_client_ip(environ),
                request_id=environ[REQUEST_ID_KEY],
            )

        return LoggedBody(self._application(environ, start), write)


class LoggedBody:
    """A body that calls `on_end` once the server closes it."""

    def __init__(self, body: Iterable[bytes], on_end: Callable[[], None]) -> None:
        self._body = body
        self._on_end = on_end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if close := getattr(self._body, "close", None):
                close()
        finally:
            self._on_end()
