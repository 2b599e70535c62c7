"""Callers of `/token` and `/refresh`, as threads, and counts of what they got."""

from __future__ import annotations

import datetime as dt
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from tools.fault_injection.installation import ApiClient, Response, send

REFRESH_SHARE: Final = 0.1
"""The share of calls of `/refresh` instead of `/token`."""

CHECKED_SHARE: Final = 0.2
"""The share of tokens that a caller tries at the provider."""


class Callers:
    """Threads that read tokens of random credentials until `stop`.

    `is_alive(credential, access_token)` asks the provider. `results` counts statuses and error codes.
    """

    def __init__(
        self,
        client: ApiClient,
        credentials: Sequence[Any],
        *,
        count: int,
        pause: float,
        is_alive: Callable[[Any, str], bool],
        refresh_share: float = REFRESH_SHARE,
    ) -> None:
        self.results: Counter[str] = Counter()
        self.expired = 0
        """Tokens that had expired when they were returned."""
        self.rejected = 0
        """Tokens that the provider did not accept any more."""
        self.longest = 0.0
        """Seconds of the longest call."""
        self._client = client
        self._credentials = credentials
        self._pause = pause
        self._is_alive = is_alive
        self._refresh_share = refresh_share
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the calls and wait for those under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(40)

    def _run(self) -> None:
        while not self._stopping.wait(random.uniform(0, 2 * self._pause)):
            credential = random.choice(self._credentials)
            action = "refresh" if random.random() < self._refresh_share else "token"
            ports = self._client.installation.list_ports()
            if not ports:
                continue
            start = time.monotonic()
            path = f"/v1/credentials/{credential['id']}/{action}"
            try:
                response = send(random.choice(ports), "POST", path, token=self._client.token)
            except (OSError, http.client.HTTPException):
                # A killed server takes its connections with it.
                response = Response(0, {}, time.monotonic() - start)
            self._record(credential, action, response)

    def _record(self, credential: Any, action: str, response: Response) -> None:
        is_token = action == "token" and response.status == 200
        with self._lock:
            self.results[describe(action, response)] += 1
            if response.status:
                self.longest = max(self.longest, response.seconds)
            if is_token and has_expired(response.document):
                self.expired += 1
        if is_token and random.random() < CHECKED_SHARE:
            token = response.document["access_token"]
            if not self._is_alive(credential, token):
                with self._lock:
                    self.rejected += 1


def describe(action: str, response: Response) -> str:
    """Return the status of a response with its error code, or "connection lost"."""
    if not response.status:
        return "connection lost"
    code = response.document.get("code") if isinstance(response.document, dict) else None
    return f"{action} {response.status}" + (f" {code}" if code and response.status != 200 else "")


def has_expired(document: dict[str, Any]) -> bool:
    """Return True if the token had expired when the response arrived."""
    text = document.get("expires_at")
    return bool(text) and dt.datetime.fromisoformat(str(text)) <= dt.datetime.now(dt.UTC)
