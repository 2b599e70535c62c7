"""How many calls of this process one OAuth app and one host may have at once, and when they rest.

A bulkhead keeps a provider that hangs from taking every thread; a breaker keeps everybody from
waiting for one that is down. Both are this process's own: what is shared is in the rows.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_CALLS_PER_APP: Final = 20
MAX_CALLS_PER_HOST: Final = 32
"""As many connections as egress keeps to one host."""

FAILURES_TO_OPEN: Final = 10
OPEN_SECONDS: Final = 30.0
"""Seconds until one call may try whether it is over."""


class ProviderBusyError(Exception):
    """Not now: `retry_after` seconds until it is worth another look."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("The provider has enough to do, or rests.")
        self.retry_after = retry_after


@dataclass
class _Gate:
    running: int = 0
    failures: int = 0
    shut_until: float = 0.0


class CircuitBreaker:
    """One gate for each key. `clock` is monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}

    @contextlib.contextmanager
    def slot(self, app: str, host: str) -> Iterator[None]:
        """Room for one call, while the block lasts. Raises Busy where there is none."""
        keys = ((app, MAX_CALLS_PER_APP), (host, MAX_CALLS_PER_HOST))
        with self._lock:
            for key, most in keys:
                self._check(key, most)
            for key, _ in keys:
                self._gate(key).running += 1
        try:
            yield
        finally:
            with self._lock:
                for key, _ in keys:
                    self._leave(key)

    def count_free_slots(self, key: str, most: int) -> int:
        """How many more calls may start under this key now."""
        with self._lock:
            gate = self._gates.get(key)
            if gate is None:
                return most
            if gate.shut_until > self._clock():
                return 0
            return max((1 if gate.failures >= FAILURES_TO_OPEN else most) - gate.running, 0)

    def record_response(self, *keys: str) -> None:
        """An answer came, whatever it says: the failures in a row are over."""
        with self._lock:
            for key in keys:
                self._gate(key).failures = 0

    def record_failure(self, *keys: str) -> None:
        """None came. After ten in a row the gate shuts; then a single failure shuts it again."""
        with self._lock:
            for key in keys:
                gate = self._gate(key)
                gate.failures += 1
                if gate.failures >= FAILURES_TO_OPEN:
                    gate.shut_until = self._clock() + OPEN_SECONDS

    def _check(self, key: str, most: int) -> None:
        gate = self._gates.get(key)
        if gate is None:
            return
        rest = gate.shut_until - self._clock()
        if rest > 0:
            raise ProviderBusyError(rest)
        half_open = gate.failures >= FAILURES_TO_OPEN
        if gate.running >= (1 if half_open else most):
            raise ProviderBusyError(1.0)

    def _gate(self, key: str) -> _Gate:
        return self._gates.setdefault(key, _Gate())

    def _leave(self, key: str) -> None:
        gate = self._gates[key]
        gate.running -= 1
        if not gate.running and not gate.failures:
            del self._gates[key]


circuit_breaker = CircuitBreaker()
