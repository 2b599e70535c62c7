"""GET /metrics for Prometheus: figures of all processes, for this machine or with a token."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from config.multiprocess_metrics import MULTIPROC_DIR_VARIABLE

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDED: Final = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP")


def may_read_metrics(meta: Mapping[str, Any]) -> bool:
    """Return whether a request with these headers may read the metrics.

    It needs METRICS_TOKEN as its bearer token. If no token is configured, it must come from this
    machine and not through a proxy.
    """
    if settings.METRICS_TOKEN:
        expected = f"Bearer {settings.METRICS_TOKEN}".encode()
        return hmac.compare_digest(str(meta.get("HTTP_AUTHORIZATION", "")).encode(), expected)
    return meta.get("REMOTE_ADDR") in _LOOPBACK and not any(name in meta for name in _FORWARDED)


def render_metrics() -> tuple[str, bytes]:
    """Return the content type and the text, of all processes if they share a folder."""
    registry = REGISTRY
    if MULTIPROC_DIR_VARIABLE in os.environ:
        registry = CollectorRegistry(support_collectors_without_names=True)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return CONTENT_TYPE_LATEST, generate_latest(registry)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Respond with the metrics, or with 404 to a caller who may not know that they exist."""
    if not may_read_metrics(request.META):
        return HttpResponse(status=404)
    # Imported late: the proxy uses this module, and has neither a page nor these metrics.
    from config.database_metrics import render_database_metrics

    content_type, text = render_metrics()
    return HttpResponse(text + render_database_metrics(), content_type=content_type)
