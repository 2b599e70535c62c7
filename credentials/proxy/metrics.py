"""The metrics of the proxy. No label has values that a caller chooses."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS: Final = Counter(
    "latchkey_proxy_requests",
    "Requests forwarded with a credential, by the status of the provider's response.",
    ["provider", "method", "status"],
)
REJECTED: Final = Counter(
    "latchkey_proxy_refused",
    "Requests that were rejected, by the status of the response.",
    ["status"],
)
RESPONSE_SECONDS: Final = Histogram(
    "latchkey_proxy_answer_seconds",
    "From a request's arrival to the headers of its response.",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
IN_PROGRESS: Final = Gauge(
    "latchkey_proxy_requests_under_way",
    "Requests in progress.",
    multiprocess_mode="livesum",
)
SENT_BYTES: Final = Counter(
    "latchkey_proxy_sent_bytes", "Bytes of response bodies sent to callers."
)
BROKEN_STREAMS: Final = Counter(
    "latchkey_proxy_broken_streams",
    "Responses that ended early, by the side that ended them.",
    ["side"],
)
ECHOED_SECRETS: Final = Counter(
    "latchkey_proxy_echoed_secrets", "Responses in which a secret came back.", ["provider"]
)


def provider_label(slug: str) -> str:
    """Return the provider's name, and `custom` for all custom services, whose names accounts choose."""
    return slug.partition(".")[0]


def method_label(method: str) -> str:
    """Return the method, or `other` for one that is not in common use."""
    return method if method in _METHODS else "other"
