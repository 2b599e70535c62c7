"""The audit log of the proxy: who used which credential, for what kind of request, with what result."""

from __future__ import annotations

import re
import time
import uuid
from typing import Final

from common.actors import Principal
from common.concurrency import release_connection
from credentials.proxy import metrics
from credentials.proxy.errors import require_audit_write
from events.services import EventTarget, record_event

# Words and versions are kept. Anything else may be an id, a name or an address of a person.
_PLAIN_SEGMENT: Final = re.compile(
    r"[A-Za-z][A-Za-z_.-]{0,39}|v[0-9]{1,4}(?:\.[0-9]{1,4}){0,2}", re.ASCII
)
_MAX_SEGMENTS: Final = 12

CLIENT_DISCONNECTED: Final = 499
"""The status that is recorded if the caller disconnected before the provider responded."""


def build_route_pattern(path: str) -> str:
    """Return `path` with `*` for each segment that is no plain word: /v1/charges/ch_3N → /v1/charges/*."""
    segments = path.strip("/").split("/")
    pattern = [
        segment if _PLAIN_SEGMENT.fullmatch(segment) else "*"
        for segment in segments[:_MAX_SEGMENTS]
        if segment
    ]
    if len(segments) > _MAX_SEGMENTS:
        pattern.append("…")
    return "/" + "/".join(pattern)


def record_use(
    *,
    principal: Principal,
    credential_id: uuid.UUID,
    provider: str,
    method: str,
    path: str,
    status: int,
    started_at: float,
) -> None:
    """Record one use as an event and in the metrics. The event is committed when this returns.

    `status` is the provider's, or ours: 502, 503, 504 or CLIENT_DISCONNECTED. `started_at` is a
    time of the monotonic clock; the event's `ms` runs from it to the response's headers.
    """
    seconds = time.monotonic() - started_at
    record_event(
        principal.actor,
        EventTarget("credential", principal.account_id, credential_id),
        "credential.used",
        detail={
            "method": method[:16],
            "path": build_route_pattern(path),
            "status": status,
            "ms": round(seconds * 1000),
        },
    )
    label = metrics.provider_label(provider)
    metrics.REQUESTS.labels(label, metrics.method_label(method), str(status)).inc()
    metrics.RESPONSE_SECONDS.labels(label).observe(seconds)


def record_echo(
    *, principal: Principal, credential_id: uuid.UUID, provider: str, path: str
) -> None:
    """Record that a provider sent a secret back: the caller might have seen it."""
    record_event(
        principal.actor,
        EventTarget("credential", principal.account_id, credential_id),
        "credential.secret_echoed",
        detail={"path": build_route_pattern(path)},
    )
    metrics.ECHOED_SECRETS.labels(metrics.provider_label(provider)).inc()


class EchoRecorder:
    """Records the echo of one response, at most once. The arguments are those of `record_echo`."""

    def __init__(
        self, *, principal: Principal, credential_id: uuid.UUID, provider: str, path: str
    ) -> None:
        self._principal = principal
        self._credential_id = credential_id
        self._provider = provider
        self._path = path
        self._recorded = False

    def record(self) -> None:
        """Commit the event. Raises AuditWriteError."""
        if self._recorded:
            return
        self._recorded = True
        with require_audit_write():
            record_echo(
                principal=self._principal,
                credential_id=self._credential_id,
                provider=self._provider,
                path=self._path,
            )
        release_connection()
