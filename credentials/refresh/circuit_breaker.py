"""Limits on the calls of this process to one OAuth app and one host.

A bulkhead keeps a provider that hangs from occupying every thread. A circuit breaker keeps callers
from waiting for one that is down. Other processes have their own: what is shared is in the rows.
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
FAST_SECONDS: Final = 10.0
OPEN_SECONDS: Final = 30.0
"""The time until one call may test whether the provider is back."""


class ProviderBusyError(Exception):
    """No call may start now. Try again after `retry_after` seconds.

    `is_circuit_open` is True if the provider did not respond to the last calls, and False if it only
    has as many calls as it may have.
    """

    def __init__(self, retry_after: float, *, is_circuit_open: bool = False) -> None:
        super().__init__("The provider has as many calls as it may have, or its circuit is open.")
        self.retry_after = retry_after
        self.is_circuit_open = is_circuit_open


@dataclass
class _Circuit:
    running: int = 0
    failures: int = 0
    open_until: float = 0.0


class CircuitBreaker:
    """One circuit for each key. `clock` returns monotonic seconds. Thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._circuits: dict[str, _Circuit] = {}
        self._durations: dict[str, float] = {}

    @contextlib.contextmanager
    def slot(self, app: str, host: str, *, is_urgent: bool = False) -> Iterator[None]:
        """Occupy one slot of the app and one of the host. Raise ProviderBusyError if none is free.

        An urgent call passes an open circuit: its grant would be lost while it waits.
        """
        limits = {app: MAX_CALLS_PER_APP, host: MAX_CALLS_PER_HOST}
        with self._lock:
            for key, limit in limits.items():
                if not is_urgent:
                    self._require_free_slot(key, limit)
            for key in limits:
                self._circuits.setdefault(key, _Circuit()).running += 1
        try:
            yield
        finally:
            with self._lock:
                for key in limits:
                    circuit = self._circuits[key]
                    circuit.running -= 1
                    if not circuit.running and not circuit.failures:
                        del self._circuits[key]

    def count_free_slots(self, key: str, limit: int) -> int:
        """Return how many more calls may start now."""
        with self._lock:
            circuit = self._circuits.get(key)
            if circuit is None:
                return limit
            if circuit.open_until > self._clock():
                return 0
            return max(_get_limit(circuit, limit) - circuit.running, 0)

    def responds_fast(self, host: str) -> bool:
        """Return True if the last response of this host took less than 10 s."""
        with self._lock:
            return self._durations.get(host, FAST_SECONDS) < FAST_SECONDS

    def record_response(self, *keys: str, seconds: float | None = None) -> None:
        """Close the circuits: the provider responded, even if only with an error.

        `seconds` is the time that the response took.
        """
        with self._lock:
            for key in keys:
                if seconds is not None:
                    self._durations[key] = seconds
                self._circuits.setdefault(key, _Circuit()).failures = 0

    def record_failure(self, *keys: str) -> None:
        """Record a failed call. Ten consecutive failures open the circuit.

        In the half-open state one failure opens it again.
        """
        with self._lock:
            for key in keys:
                circuit = self._circuits.setdefault(key, _Circuit())
                circuit.failures += 1
                if circuit.failures >= FAILURES_TO_OPEN:
                    circuit.open_until = self._clock() + OPEN_SECONDS

    def _require_free_slot(self, key: str, limit: int) -> None:
        circuit = self._circuits.get(key)
        if circuit is None:
            return
        rest = circuit.open_until - self._clock()
        if rest > 0:
            raise ProviderBusyError(rest, is_circuit_open=True)
        if circuit.running >= _get_limit(circuit, limit):
            raise ProviderBusyError(1.0)


def _get_limit(circuit: _Circuit, limit: int) -> int:
    # Half-open: a single call tests whether the provider is back.
    return 1 if circuit.failures >= FAILURES_TO_OPEN else limit


circuit_breaker = CircuitBreaker()
