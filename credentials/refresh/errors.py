"""Errors that a caller gets instead of a token."""

from __future__ import annotations

import math
from typing import Final

from common.errors import ConflictError, ServiceUnavailableError

MAX_RETRY_AFTER: Final = 3600

# A provider that has not responded for 12 s will hardly do so within the next second.
_SLOW_RETRY: Final = 5


class NeedsReauthError(ConflictError):
    """409 needs_reauth: the grant has ended, and only another one helps."""

    def __init__(self) -> None:
        super().__init__(
            "The provider rejects this grant, or it has expired. Connect the account again, or import"
            " a newer grant.",
            extra={"code": "needs_reauth"},
        )


class OnHoldError(ConflictError):
    """409 on_hold: nothing refreshes the grant until it is released."""

    def __init__(self) -> None:
        super().__init__(
            "This credential is on hold, so its grant is not refreshed, and its access token has"
            " expired. Release it once no other system refreshes the grant.",
            extra={"code": "on_hold"},
        )


class NotRefreshableError(ConflictError):
    """409 not_refreshable: credentials of this kind have no access token."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} has no access token to refresh. Use it through the proxy, or reveal it.",
            extra={"code": "not_refreshable"},
        )


class AppPausedError(ServiceUnavailableError):
    """503 app_paused: the provider rejects the OAuth app. `detail` says why, `retry_after` in seconds."""

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(
            f"The OAuth app must be corrected before this grant can be refreshed: {detail}",
            extra={"code": "app_paused"},
            retry_after=_round_retry_after(retry_after),
        )


class ProviderUnavailableError(ServiceUnavailableError):
    """503 provider_unavailable: try again after `retry_after` seconds, rounded up to at least 1."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "The provider does not issue a new access token at the moment. Try again.",
            extra={"code": "provider_unavailable"},
            retry_after=_round_retry_after(retry_after),
        )


class TokenRejectedError(ServiceUnavailableError):
    """503 token_rejected: the provider rejects the access token that it issued.

    Another one is requested after `retry_after` seconds.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "The provider rejects the access token that it issued, so it is not handed out. Another one"
            " is requested later.",
            extra={"code": "token_rejected"},
            retry_after=_round_retry_after(retry_after),
        )


class RefreshInProgressError(ServiceUnavailableError):
    """503 refresh_in_progress: another process has the lease, and the provider is slow.

    With `in_doubt_for`, in seconds, that process has died: the outcome of its request is unknown,
    and the grant is left alone until then.
    """

    def __init__(self, *, in_doubt_for: float | None = None) -> None:
        detail = "Another caller is refreshing this grant, and its provider is slow. Try again."
        if in_doubt_for is not None:
            detail = (
                "A refresh of this grant broke off, and its provider may still be processing it. It is"
                " tried again later."
            )
        super().__init__(
            detail,
            extra={"code": "refresh_in_progress"},
            retry_after=_round_retry_after(_SLOW_RETRY if in_doubt_for is None else in_doubt_for),
        )


def _round_retry_after(seconds: float) -> int:
    return min(max(math.ceil(seconds), 1), MAX_RETRY_AFTER)
