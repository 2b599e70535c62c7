"""Limits on calls that lead to a secret or to a provider, for each token, account and address.

Reads, /token and the proxy have none: the normal load of a busy company never meets these. A process
counts in its own memory. If CACHE_URL names a server, all processes count there together as well.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, NoReturn

import structlog
from django.conf import settings
from django.core.cache import cache

from accounts.models import RateLimitOverride
from common.actors import Principal
from common.addresses import get_network
from common.errors import TooManyRequestsError
from common.http import LatchkeyRequest

logger = structlog.get_logger(__name__)


class Quota(NamedTuple):
    """At most `requests` at once, which are available again after `seconds`."""

    requests: int
    seconds: int


class Usage(NamedTuple):
    """The rest of a quota: `remaining` requests now, and `wait` seconds until one more fits."""

    remaining: int
    wait: float


QUOTAS: Final = {
    "reveal": Quota(30, 60),
    "import": Quota(60, 60),
    "import_lines": Quota(300_000, 60),
    "provider_call": Quota(120, 60),
    "report": Quota(600, 60),
    "client_secret": Quota(20, 60),
    "authorize": Quota(60, 60),
}
"""The quota of one token, or of one address for a call without a token."""

ACCOUNT_FACTOR: Final = 4
"""All tokens of an account together have as many times the quota of one."""

OVERRIDE_SECONDS: Final = 30
"""Seconds after which a process notices a changed override."""

_MAX_KEYS: Final = 10_000


class RateLimiter:
    """The counts of one process: for each key, the time at which its quota is whole again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def consume(self, key: str, quota: Quota, cost: int = 1) -> Usage:
        """Count `cost` requests if they fit, which `wait` 0 says. A whole quota fits any cost."""
        interval = quota.seconds / quota.requests
        cost = min(cost, quota.requests)
        now = time.monotonic()
        with self._lock:
            former = max(self._full_at.get(key, now), now)
            full_at = former + cost * interval
            wait = full_at - now - quota.seconds
            if wait <= 1e-6:
                self._full_at[key] = former = full_at
                self._prune(now)
        remaining = int((quota.seconds - (former - now)) / interval + 1e-6)
        return Usage(max(remaining, 0), max(wait, 0) if wait > 1e-6 else 0)

    def clear(self) -> None:
        """Forget every count."""
        with self._lock:
            self._full_at.clear()

    def _prune(self, now: float) -> None:
        if len(self._full_at) <= _MAX_KEYS:
            return
        # The least used ones go, so that a flood of addresses takes no memory without bound.
        kept = sorted(self._full_at.items(), key=lambda item: item[1])[_MAX_KEYS // 2 :]
        self._full_at = {key: full_at for key, full_at in kept if full_at > now}


class ConcurrencyLimiter:
    """The calls of one kind that this process works on, by account."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._running: Counter[uuid.UUID] = Counter()

    @contextmanager
    def acquire(self, account_id: uuid.UUID) -> Iterator[None]:
        """Count one call during the block. Raises TooManyRequestsError beyond the limit."""
        with self._lock:
            if self._running[account_id] >= self._limit:
                raise TooManyRequestsError(
                    f"{self._limit} such calls of this account are running. Wait for one to end.",
                    extra={"code": "rate_limited", "limit": "concurrency"},
                    retry_after=5,
                )
            self._running[account_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[account_id] -= 1
                if not self._running[account_id]:
                    del self._running[account_id]


running_imports: Final = ConcurrencyLimiter(2)
"""Imports by lines. Each needs a processor for as long as it runs."""

rate_limiter: Final = RateLimiter()
_overrides: dict[uuid.UUID, tuple[float, dict[tuple[uuid.UUID | None, str], Quota]]] = {}


def consume_token_quota(
    request: LatchkeyRequest, principal: Principal, name: str, cost: int = 1
) -> None:
    """Count a call of a token for the token and its account.

    Raises TooManyRequestsError. The response gets the RateLimit headers either way.
    """
    if not settings.RATE_LIMITS:
        return
    quota = QUOTAS[name]
    overrides = _find_overrides(principal.account_id)
    token_quota = overrides.get((principal.bearer_id, name), quota)
    account_quota = overrides.get(
        (None, name), Quota(quota.requests * ACCOUNT_FACTOR, quota.seconds)
    )
    _consume(request, name, f"{name}/token:{principal.bearer_id}", token_quota, cost)
    _consume(request, name, f"{name}/account:{principal.account_id}", account_quota, cost)


def consume_address_quota(request: LatchkeyRequest, name: str) -> None:
    """Count a call without a token for the network of its address. Raises TooManyRequestsError."""
    if settings.RATE_LIMITS and request.client_ip:
        _consume(request, name, _build_address_key(request.client_ip, name), QUOTAS[name], 1)


def require_address_quota(request: LatchkeyRequest, name: str) -> None:
    """Raise TooManyRequestsError if the address has used up its quota. Counts nothing."""
    if not settings.RATE_LIMITS or not request.client_ip:
        return
    quota = QUOTAS[name]
    if not rate_limiter.consume(_build_address_key(request.client_ip, name), quota, 0).remaining:
        _reject(request, name, quota, Usage(0, quota.seconds / quota.requests))


def forget_overrides() -> None:
    """Read the overrides again at the next call."""
    _overrides.clear()


def _build_address_key(address: str, name: str) -> str:
    return f"{name}/address:{get_network(address)}"


def _consume(request: LatchkeyRequest, name: str, key: str, quota: Quota, cost: int) -> None:
    usage = rate_limiter.consume(key, quota, cost)
    if not usage.wait and settings.CACHES["default"]["BACKEND"] != _LOCAL_CACHE:
        usage = _count_in_cache(key, quota, cost, usage)
    if usage.wait:
        _reject(request, name, quota, usage)
    _add_headers(request, name, quota, usage)


def _reject(request: LatchkeyRequest, name: str, quota: Quota, usage: Usage) -> NoReturn:
    _add_headers(request, name, quota, usage)
    raise TooManyRequestsError(
        f"Too many calls: at most {quota.requests:,} in {quota.seconds} seconds. Wait, then try again.",
        extra={"code": "rate_limited", "limit": name},
        retry_after=math.ceil(usage.wait),
    )


_LOCAL_CACHE: Final = "django.core.cache.backends.locmem.LocMemCache"


def _count_in_cache(key: str, quota: Quota, cost: int, local: Usage) -> Usage:
    """Count in the cache of all processes, in windows of `quota.seconds`."""
    now = time.time()
    window, elapsed = divmod(now, quota.seconds)
    shared_key = f"rate/{key}/{int(window)}"
    try:
        cache.add(shared_key, 0, quota.seconds * 2)
        used = cache.incr(shared_key, min(cost, quota.requests))
    except Exception as error:
        # A limit must not become an outage: this process still counts by itself.
        logger.warning("rate_limits.cache", cause=type(error).__name__)
        return local
    if used > quota.requests:
        return Usage(0, quota.seconds - elapsed)
    return Usage(min(local.remaining, quota.requests - used), 0)


def _add_headers(request: LatchkeyRequest, name: str, quota: Quota, usage: Usage) -> None:
    """Set the headers of draft-ietf-httpapi-ratelimit-headers, those of the nearest limit."""
    former = request.rate_limit_remaining
    if former is not None and former < usage.remaining and not usage.wait:
        return
    request.rate_limit_remaining = usage.remaining
    reset = math.ceil(usage.wait) if usage.wait else quota.seconds
    request.rate_limit_headers = {
        "RateLimit-Policy": f'"{name}";q={quota.requests};w={quota.seconds}',
        "RateLimit": f'"{name}";r={usage.remaining};t={reset}',
    }


def _find_overrides(account_id: uuid.UUID) -> dict[tuple[uuid.UUID | None, str], Quota]:
    now = time.monotonic()
    until, found = _overrides.get(account_id, (0.0, {}))
    if now < until:
        return found
    rows = RateLimitOverride.objects.filter(account_id=account_id)
    found = {(row.bearer_id, row.name): Quota(row.requests, row.seconds) for row in rows}
    if len(_overrides) >= _MAX_KEYS:
        _overrides.clear()
    _overrides[account_id] = (now + OVERRIDE_SECONDS, found)
    return found
