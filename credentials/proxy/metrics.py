"""What is counted of uses. No label can take values that a caller chooses."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS: Final = Counter(
    "latchkey_proxy_requests",
    "Requests sent on with a credential, by what their provider answered.",
    ["provider", "method", "status"],
)
REJECTED: Final = Counter(
    "latchkey_proxy_refused", "Requests that were not sent on, by what was answered.", ["status"]
)
RESPONSE_SECONDS: Final = Histogram(
    "latchkey_proxy_answer_seconds",
    "From a request's arrival to the head of its answer.",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
IN_PROGRESS: Final = Gauge(
    "latchkey_proxy_requests_under_way",
    "Requests now being answered.",
    multiprocess_mode="livesum",
)
SENT_BYTES: Final = Counter("latchkey_proxy_sent_bytes", "Bytes of answers passed on to callers.")
BROKEN_STREAMS: Final = Counter(
    "latchkey_proxy_broken_streams", "Answers that ended early, by whose side it was.", ["side"]
)
ECHOED_SECRETS: Final = Counter(
    "latchkey_proxy_echoed_secrets", "Answers in which a secret came back.", ["provider"]
)


def provider_label(slug: str) -> str:
    """All custom services are one: their names are an account's."""
    return slug.partition(".")[0]


def method_label(method: str) -> str:
    return method if method in _METHODS else "other"
