"""What a caller is told instead of a token."""

from __future__ import annotations

import math

from common.errors import Conflict, Unavailable

MAX_RETRY_AFTER = 3600


def needs_reauth() -> Conflict:
    return Conflict(
        "The provider refuses this grant, or it ended: connect the account again, or import a newer"
        " grant.",
        extra={"code": "needs_reauth"},
    )


def no_token(kind: str) -> Conflict:
    return Conflict(
        f"{kind} has no access token that is refreshed: use it by the proxy, or reveal it.",
        extra={"code": "not_refreshable"},
    )


def app_paused(detail: str) -> Unavailable:
    return Unavailable(
        f"The OAuth app needs a correction before this grant can be refreshed: {detail}",
        extra={"code": "app_paused"},
        retry_after=MAX_RETRY_AFTER,
    )


def unavailable(retry_after: float) -> Unavailable:
    """`retry_after` in seconds, rounded up: whole and at least 1."""
    return Unavailable(
        "The provider gives no new access token at the moment. Try again.",
        extra={"code": "provider_unavailable"},
        retry_after=min(max(math.ceil(retry_after), 1), MAX_RETRY_AFTER),
    )


def busy() -> Unavailable:
    return Unavailable(
        "Another caller is refreshing this grant, and its provider is slow. Try again.",
        extra={"code": "refresh_in_progress"},
        retry_after=1,
    )
