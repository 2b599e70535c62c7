"""The proxy's WSGI application for gunicorn. It starts only with keys that fit the database."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from config.startup import disconnect_database, exit_on_bad_configuration, verify_startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with exit_on_bad_configuration():
    import django

    django.setup()
    verify_startup()
    disconnect_database()

from config import proxy_app
from config.env import PROXY_THREADS
from config.metrics import may_read_metrics, render_metrics
from egress import Client
from egress.allowlist import allowed_targets

_proxy = proxy_app.build_proxy(Client(allow=allowed_targets(), per_host=PROXY_THREADS))
_HEALTHY = b'{"status": "ok"}'


def application(
    environ: Mapping[str, Any], start: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Serve /healthz, /metrics to callers who may read it, and everything else by the proxy."""
    match environ["REQUEST_METHOD"], environ["RAW_URI"]:
        case "GET", "/healthz":
            content_type, body = "application/json", _HEALTHY
        case "GET", "/metrics" if may_read_metrics(environ):
            content_type, body = render_metrics()
        case _:
            return _proxy(environ, start)
    start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


# Loaded modules stay in memory. Excluding them from collection keeps requests from stalling.
gc.collect()
gc.freeze()
