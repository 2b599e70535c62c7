"""What is counted of requests to the API and the pages; the proxy counts its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

REQUEST_COUNT: Final = Counter("latchkey_requests", "Requests, by what was answered.", ["status"])
REQUEST_DURATION: Final = Histogram(
    "latchkey_request_seconds", "From a request's arrival to its answer."
)

_OF_MONITORS: Final = frozenset({"/metrics", "/healthz", "/readyz"})


class RequestMetricsMiddleware:
    """The outermost middleware: whatever answers, it is counted. What monitors ask is not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self.get_response(request)
        if request.path not in _OF_MONITORS:
            REQUEST_COUNT.labels(str(response.status_code)).inc()
            REQUEST_DURATION.observe(time.perf_counter() - began)
        return response
