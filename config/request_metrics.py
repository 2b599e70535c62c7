"""Metrics of the requests to the API and the pages.

Not in config.middleware, which the proxy imports: it has metrics of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from config.middleware import MONITORING_PATHS

REQUEST_COUNT: Final = Counter("latchkey_requests", "Requests by response status.", ["status"])
REQUEST_DURATION: Final = Histogram(
    "latchkey_request_seconds", "Time from a request's arrival to its response."
)


class RequestMetricsMiddleware:
    """Counts all requests but those of monitors. It is the outermost middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started_at = time.perf_counter()
        response = self.get_response(request)
        if request.path not in MONITORING_PATHS:
            REQUEST_COUNT.labels(str(response.status_code)).inc()
            REQUEST_DURATION.observe(time.perf_counter() - started_at)
        return response
