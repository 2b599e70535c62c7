"""Requests to token endpoints in threads of their own, so that a slow provider blocks no caller.

A request outlives the caller that started it. The caller gives up after a few seconds, but the
request goes on for up to 90 s. Its lease is renewed as long as it runs, and the thread that receives
the response stores it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError

from common.concurrency import blocking_io, release_connection
from credentials.refresh.circuit_breaker import ProviderBusyError, circuit_breaker
from credentials.refresh.lease import extend_lease
from credentials.refresh.types import RefreshClaim
from oauth_apps.protocol import TokenResponse

log = structlog.get_logger(__name__)

MAX_CALLS: Final = 400
"""Concurrent requests of one process. Their threads only wait for sockets, so they are cheap."""

HEARTBEAT_SECONDS: Final = 4.0
HEARTBEATS_PER_LEASE: Final = 4
"""At least so many, for leases that are shorter than those of most providers."""

SILENCE_SECONDS: Final = 12.0
"""A request that has had no response for this long is a failure for the circuit breaker."""

RequestFunction = Callable[[], TokenResponse]


class ProviderCall:
    """One request in a thread of its own. `keys` name its circuits in the circuit breaker."""

    def __init__(
        self, claim: RefreshClaim, request: RequestFunction, keys: tuple[str, str]
    ) -> None:
        self.claim = claim
        self.keys = keys
        self.heartbeat_seconds = min(HEARTBEAT_SECONDS, claim.lease_seconds / HEARTBEATS_PER_LEASE)
        self.started_at = time.monotonic()
        self.renewed_at = self.started_at
        self.is_silence_recorded = False
        self.future: Future[TokenResponse] = _calls.start(self, request)

    def wait(self, seconds: float) -> bool:
        """Wait without a connection or a request slot. Return True if the request has ended."""
        if self.future.done():
            return True
        with blocking_io():
            try:
                self.future.exception(timeout=max(seconds, 0))
            except FutureTimeoutError:
                return False
        return True

    def finish(self) -> None:
        """Stop renewing the lease, as the outcome is stored or cannot be."""
        _calls.remove(self)

    def hand_over(self, settle: Callable[[], object]) -> None:
        """Let the thread of the request call `settle`, which stores the outcome, when it ends.

        Errors that `settle` raises are only logged, because the caller no longer waits.
        """

        def run(_: Future[TokenResponse]) -> None:
            try:
                settle()
            except Exception as error:
                log.info("refresh.settled", id=str(self.claim.row.id), error=type(error).__name__)
            finally:
                self.finish()
                release_connection()

        self.future.add_done_callback(run)


class _RunningCalls:
    """The calls of this process, and the thread that renews their leases."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[ProviderCall] = set()
        self._executor: ThreadPoolExecutor | None = None
        self._heartbeat: threading.Thread | None = None

    def start(self, call: ProviderCall, request: RequestFunction) -> Future[TokenResponse]:
        """Start the request. Raises ProviderBusyError if the process has too many of them."""
        with self._lock:
            if len(self._calls) >= MAX_CALLS:
                raise ProviderBusyError(1.0)
            self._calls.add(call)
            # Created on first use: a server forks after importing this module, and threads do not
            # survive a fork.
            if self._executor is None:
                self._executor = ThreadPoolExecutor(MAX_CALLS, "provider-call")
            if self._heartbeat is None or not self._heartbeat.is_alive():
                self._heartbeat = threading.Thread(
                    target=self._renew_leases, name="lease-heartbeat", daemon=True
                )
                self._heartbeat.start()
            return self._executor.submit(request)

    def remove(self, call: ProviderCall) -> None:
        with self._lock:
            self._calls.discard(call)

    def _renew_leases(self) -> None:
        """Renew the leases of running calls every HEARTBEAT_SECONDS, until no call is left."""
        while True:
            time.sleep(HEARTBEAT_SECONDS / 4)
            now = time.monotonic()
            with self._lock:
                if not self._calls:
                    self._heartbeat = None
                    break
                calls = list(self._calls)
            for call in calls:
                if now - call.renewed_at >= call.heartbeat_seconds:
                    try:
                        extend_lease(call.claim)
                    except (DatabaseError, InterfaceError) as error:
                        # The lease outlasts several heartbeats, so the next one can still renew it.
                        log.warning("refresh.heartbeat_failed", error=type(error).__name__)
                    finally:
                        # The next heartbeat is seconds away: no connection is kept for it.
                        release_connection()
                    call.renewed_at = now
                if now - call.started_at >= SILENCE_SECONDS and not call.is_silence_recorded:
                    call.is_silence_recorded = True
                    circuit_breaker.record_failure(*call.keys)


_calls: Final = _RunningCalls()
