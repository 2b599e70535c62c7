"""What a caller is told instead of a token."""

from __future__ import annotations

import math

from common.errors import ConflictError, ServiceUnavailableError

MAX_RETRY_AFTER = 3600


def NeedsReauthError() -> ConflictError:
    return ConflictError(
        "The provider refuses this grant, or it ended: connect the account again, or import a newer"
        " grant.",
        extra={"code": "needs_reauth"},
    )


def NotRefreshableError(kind: str) -> ConflictError:
    return ConflictError(
        f"{kind} has no access token that is refreshed: use it by the proxy, or reveal it.",
        extra={"code": "not_refreshable"},
    )


def AppPausedError(detail: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"The OAuth app needs a correction before this grant can be refreshed: {detail}",
        extra={"code": "app_paused"},
        retry_after=MAX_RETRY_AFTER,
    )


def ProviderUnavailableError(retry_after: float) -> ServiceUnavailableError:
    """`retry_after` in seconds, rounded up: whole and at least 1."""
    return ServiceUnavailableError(
        "The provider gives no new access token at the moment. Try again.",
        extra={"code": "provider_unavailable"},
        retry_after=min(max(math.ceil(retry_after), 1), MAX_RETRY_AFTER),
    )


def RefreshInProgressError() -> ServiceUnavailableError:
    return ServiceUnavailableError(
        "Another caller is refreshing this grant, and its provider is slow. Try again.",
        extra={"code": "refresh_in_progress"},
        retry_after=1,
    )
