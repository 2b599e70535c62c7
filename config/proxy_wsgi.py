"""The proxy's WSGI application, for gunicorn's threads. It starts only with keys that fit the database."""

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
    """The proxy; beside it /healthz, and /metrics of the server to whom config.metrics lets."""
    match environ["REQUEST_METHOD"], environ["RAW_URI"]:
        case "GET", "/healthz":
            return _whole(start, "application/json", _HEALTHY)
        case "GET", "/metrics" if may_read_metrics(environ):
            return _whole(start, *render_metrics())
    return _proxy(environ, start)


def _whole(
    start: Callable[[str, list[tuple[str, str]]], Any], kind: str, body: bytes
) -> list[bytes]:
    start("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


# What was loaded stays: looking through it for garbage again and again would stall requests.
gc.collect()
gc.freeze()
