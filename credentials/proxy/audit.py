"""What is written down of each use: who, which credential, what sort of request, and what came of it."""

from __future__ import annotations

import re
import time
import uuid
from typing import Final

from common.actors import Principal
from credentials.proxy import metrics
from events.services import EventTarget, record_event

# Words and versions stay; whatever may be an id, a name or an address of somebody does not.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}|v[0-9]{1,4}(?:\.[0-9]{1,4}){0,2}", re.ASCII)
_MOST: Final = 12

CLIENT_DISCONNECTED: Final = 499
"""The status of a use whose caller went away before the provider answered."""


def build_route_pattern(path: str) -> str:
    """`path` with `*` for each segment that is no plain word: /v1/charges/ch_3N → /v1/charges/*."""
    segments = path.strip("/").split("/")
    kept = [part if _WORD.fullmatch(part) else "*" for part in segments[:_MOST] if part]
    return "/" + "/".join([*kept, *(["…"] if len(segments) > _MOST else [])])


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
    """The event and the figures of one use. `status` is the provider's, or ours: 502, 504, or CLIENT_GONE.

    One insert, committed when this returns; `ms` is until the answer's head came. `started` is of
    the monotonic clock.
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
    """That a provider sent a secret back: who called might have seen it."""
    record_event(
        principal.actor,
        EventTarget("credential", principal.account_id, credential_id),
        "credential.secret_echoed",
        detail={"path": build_route_pattern(path)},
    )
    metrics.ECHOED_SECRETS.labels(metrics.provider_label(provider)).inc()
