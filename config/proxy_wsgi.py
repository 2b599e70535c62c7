"""The proxy's WSGI application for gunicorn. It starts only with keys that fit the database."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from typing import Any

from config.startup import disconnect_database, exit_on_bad_configuration, verify_startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with exit_on_bad_configuration():
    import django

    django.setup()
    verify_startup()
    disconnect_database()

from django.conf import settings

from config import proxy_app
from config.env import PROXY_THREADS
from config.metrics import may_read_metrics, render_metrics
from config.middleware import get_request_id
from config.proxy_access_log import ProxyAccessLog
from credentials.proxy.wsgi import REQUEST_ID_KEY
from egress import Client
from egress.policy import allowed_targets

_proxy = proxy_app.build_proxy(Client(allow=allowed_targets(), per_host=PROXY_THREADS))
_serve = ProxyAccessLog(_proxy) if settings.ACCESS_LOG else _proxy
_HEALTHY = b'{"status": "ok"}'


def application(
    environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Serve /healthz, /metrics to callers who may read it, and everything else by the proxy."""
    match environ["REQUEST_METHOD"], environ["RAW_URI"]:
        case "GET", "/healthz":
            content_type, body = "application/json", _HEALTHY
        case "GET", "/metrics" if may_read_metrics(environ):
            content_type, body = render_metrics()
        case _:
            # A header of its own, and not the provider's: X-Request-Id is the caller's to send.
            sent = str(environ.pop("HTTP_LATCHKEY_REQUEST_ID", ""))
            environ[REQUEST_ID_KEY] = get_request_id(sent)
            return _serve(environ, start)
    start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


# Loaded modules stay in memory. Excluding them from collection keeps requests from stalling.
gc.collect()
gc.freeze()
