"""The server of the proxy: gunicorn with threads. docs/proxy.md explains the choice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final
from wsgiref.types import WSGIApplication

from django.conf import settings
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from config.env import PROXY_THREADS
from config.multiprocess_metrics import mark_worker_dead
from egress.receive_timeout import limit_receive_time

HEAD_SECONDS: Final = 8
"""Seconds in which the next bytes of a request's head must arrive, because they occupy a thread."""

BODY_SECONDS: Final = 120
"""Seconds in which the next bytes of a body must arrive. Clients may stream what they still produce."""


def is_no_slow_client(record: logging.LogRecord) -> bool:
    """Return False for the traceback that gunicorn logs if a client sends nothing in time."""
    return not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))


class Worker(ThreadWorker):
    """A gunicorn worker that disconnects slow clients, and responds to bad requests in JSON."""

    def init_process(self) -> None:
        logging.getLogger("gunicorn.error").addFilter(is_no_slow_client)
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        limit_receive_time(conn.sock, HEAD_SECONDS)
        super().enqueue_req(conn)

    def handle_request(self, req: object, conn: Any) -> bool:
        limit_receive_time(conn.sock, BODY_SECONDS)
        keeps_open: bool = super().handle_request(req, conn)
        return keeps_open

    def handle_error(self, req: object, client: Any, addr: object, exc: Exception) -> None:
        status, reason = (400, "Bad Request") if isinstance(exc, ParseException) else (500, "Error")
        if status == 500:
            # The text may quote what was sent, so only its type is logged.
            self.log.error("A request failed: %s", type(exc).__name__)
        body = b'{"type": "about:blank", "title": "%s", "status": %d}' % (reason.encode(), status)
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            self.log.debug("The client has disconnected.")


class Server(BaseApplication):
    """A gunicorn server that loads its application in each worker."""

    def __init__(self, load: Callable[[], WSGIApplication], options: dict[str, Any]) -> None:
        self._load = load
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._load()


def load_proxy() -> WSGIApplication:
    """Return the proxy's WSGI application."""
    # Imported in the worker: connections and threads do not survive the fork.
    from config.proxy_wsgi import application

    return application


def serve(*, host: str, port: int, workers: int, load: Callable[[], Any] = load_proxy) -> None:
    """Serve the application that `load` returns until a signal ends it.

    After SIGTERM, requests under way have 30 seconds to end, or 2 seconds with DEBUG.
    """
    Server(
        load,
        {
            "bind": f"{host}:{port}",
            "workers": workers,
            "worker_class": "config.proxy_server.Worker",
            "threads": PROXY_THREADS,
            # Connections that wait for their next request need no thread.
            "worker_connections": PROXY_THREADS * 4,
            "keepalive": 15,
            "graceful_timeout": 2 if settings.DEBUG else 30,
            "timeout": 60,
            # WSGI has one key for `X-Forwarded-For` and `X_Forwarded_For`. Names with underscores
            # are dropped from every peer, also from those that gunicorn would trust.
            "header_map": "drop",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "limit_request_line": 8190,
            "limit_request_field_size": 16_380,
            "loglevel": "warning",
            "proc_name": "latchkey-proxy",
            "child_exit": lambda _, worker: mark_worker_dead(worker.pid),
        },
    ).run()
