"""Bounds on password hashing, which is slow and takes 100 MiB by design.

They are part of the hasher and of an authentication backend, so that every entry point has them: the
API's login, the admin's, a password change, and a user who authenticates again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.http import HttpRequest

from common.addresses import get_network
from common.concurrency import blocking_io
from common.errors import ServiceUnavailableError, TooManyRequestsError

MAX_CONCURRENT: Final = 2
"""Hashes that one process computes at once."""

MAX_WAITING: Final = 6
"""Requests of one process that wait for a hash at once."""

MAX_WAIT_SECONDS: Final = 10

CHECKS_PER_MINUTE: Final = 20
"""Passwords that one address may try in a minute, in one process, of any users together."""

_MAX_ADDRESSES: Final = 10_000


class HashingSlots:
    """A semaphore with a bounded queue."""

    def __init__(self, concurrent: int, waiting: int) -> None:
        self._hashing = threading.BoundedSemaphore(concurrent)
        self._admitted = threading.BoundedSemaphore(concurrent + waiting)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Compute one hash in the block, without a request slot and without a connection.

        Raises ServiceUnavailableError at once if several requests wait already, and after
        MAX_WAIT_SECONDS.
        """
        if not self._admitted.acquire(blocking=False):
            raise _build_overloaded_error()
        try:
            # Other requests run in the meantime: argon2 releases Python's lock.
            with blocking_io():
                if not self._hashing.acquire(timeout=MAX_WAIT_SECONDS):
                    raise _build_overloaded_error()
                try:
                    yield
                finally:
                    self._hashing.release()
        finally:
            self._admitted.release()


hashing_slots: Final = HashingSlots(MAX_CONCURRENT, MAX_WAITING)


class BoundedHasherMixin:
    """A password hasher that computes in a slot."""

    def encode(self, *args: object, **options: object) -> str:
        with hashing_slots.acquire():
            encoded: str = super().encode(*args, **options)  # type: ignore[misc]
            return encoded

    def verify(self, *args: object, **options: object) -> bool:
        with hashing_slots.acquire():
            is_right: bool = super().verify(*args, **options)  # type: ignore[misc]
            return is_right


class BoundedArgon2PasswordHasher(BoundedHasherMixin, Argon2PasswordHasher):
    """Django's Argon2 hasher, bounded. The stored form of a password is the same."""


class AddressRate:
    """A count of each address in this process: a burst of `limit`, refilled within `seconds`."""

    def __init__(self, limit: int, seconds: int) -> None:
        self._interval = seconds / limit
        self._burst = float(seconds)
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def consume(self, address: str) -> None:
        """Count one attempt. Raises TooManyRequestsError with Retry-After."""
        key = get_network(address)
        now = time.monotonic()
        with self._lock:
            full_at = max(self._full_at.get(key, now), now) + self._interval
            excess = full_at - now - self._burst
            if excess <= 1e-6:
                self._full_at[key] = full_at
                self._prune(now)
        if excess > 1e-6:
            raise TooManyRequestsError(
                "Too many passwords were tried from this address. Wait, then try again.",
                retry_after=math.ceil(excess),
            )

    def clear(self) -> None:
        """Forget every count."""
        with self._lock:
            self._full_at.clear()

    def _prune(self, now: float) -> None:
        if len(self._full_at) <= _MAX_ADDRESSES:
            return
        # Then the least used ones, so that a flood of addresses takes no memory without bound.
        kept = sorted(self._full_at.items(), key=lambda item: item[1])[_MAX_ADDRESSES // 2 :]
        self._full_at = {key: full_at for key, full_at in kept if full_at > now}


password_checks: Final = AddressRate(CHECKS_PER_MINUTE, 60)


class AddressRateBackend:
    """An authentication backend that authenticates no user, and counts who tries to.

    It has no `get_user` and no permissions, so that a session never belongs to it.
    """

    def authenticate(
        self, request: HttpRequest | None, *, password: str | None = None, **_: object
    ) -> None:
        """Raise TooManyRequestsError if the request's address has tried too many passwords."""
        address = getattr(request, "client_ip", None)
        if password is not None and address:
            password_checks.consume(address)


def _build_overloaded_error() -> ServiceUnavailableError:
    return ServiceUnavailableError(
        "Too many logins at once. Try again shortly.", extra={"code": "overloaded"}, retry_after=2
    )
