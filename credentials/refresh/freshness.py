"""The rules for when a stored token may be used and when it may be refreshed. No input or output."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Q

from common.db.clock import DbNow
from credentials.core.grant_state import (
    ACCESS_REJECTED,
    NEEDS_REAUTH,
    get_app_pause,
    get_grant,
)
from credentials.core.refresh_state import SILENT_SECONDS
from credentials.models import Credential, Grant
from credentials.refresh.errors import (
    AppPausedError,
    NeedsReauthError,
    NotRefreshableError,
    OnHoldError,
    ProviderUnavailableError,
    TokenRejectedError,
)
from providers.registry import get_registry


@dataclass(frozen=True, slots=True)
class Freshness:
    """A credential's token at the time `now`, for a caller who needs it for `min_seconds`."""

    row: Credential
    now: dt.datetime
    min_seconds: int

    @property
    def grant(self) -> Grant:
        return get_grant(self.row)

    def is_fresh(self, *, first_generation: int) -> bool:
        """Return True if the stored token can be used as it is.

        `first_generation` is the generation that the caller read first.
        """
        row, grant = self.row, self.grant
        if grant.state == NEEDS_REAUTH or "access_token" not in row.fingerprints:
            return False
        if grant.on_hold:
            # Another system refreshes the grant: two would end it. What is still alive may be used.
            return self._is_alive()
        if row.expires_at is None:
            # Imported without an expiry: the first refresh may tell it.
            untried = grant.last_at is None and not grant.failures
            return not (untried and self.is_refreshable())
        remaining = (row.expires_at - self.now).total_seconds()
        # A token that another caller refreshed in the meantime cannot be made any fresher.
        return remaining > (0 if grant.generation > first_generation else self._needed_seconds())

    def is_refreshable(self) -> bool:
        """Return True if the kind refreshes and the credential has what a refresh needs."""
        kind = get_registry().get_kind(self.row.kind)
        if kind is None or not kind.refreshes:
            return False
        return kind.grant != "refresh_token" or "refresh_token" in self.row.fingerprints

    def is_refreshed_within(self, seconds: int) -> bool:
        """Return True if the last refresh is less than `seconds` ago."""
        last = self.grant.last_at
        return last is not None and (self.now - last).total_seconds() < seconds

    def get_seconds_in_doubt(self) -> float | None:
        """Return how long the grant is still left alone because its refresher died; None if it lives."""
        until, renewed_at = self.grant.lease_until, self.grant.lease_renewed_at
        if until is None or renewed_at is None:
            return None
        if (self.now - renewed_at).total_seconds() < SILENT_SECONDS:
            return None
        return (until - self.now).total_seconds()

    def build_stale_filter(self) -> Q:
        """Return the condition under which a claim still finds the token too old."""
        end = DbNow() + dt.timedelta(seconds=self._needed_seconds())
        return (
            Q(expires_at__isnull=True)
            | Q(expires_at__lte=end)
            | ~Q(fingerprints__has_key="access_token")
        )

    def require_refreshable(self) -> None:
        """Raise an error if waiting will not bring a token.

        That is NotRefreshableError, NeedsReauthError, or OnHoldError.
        """
        kind = get_registry().get_kind(self.row.kind)
        if kind is None or not kind.refreshes:
            raise NotRefreshableError(self.row.kind)
        if self.grant.state == NEEDS_REAUTH or not self.is_refreshable():
            raise NeedsReauthError()
        if self.grant.on_hold:
            raise OnHoldError()

    def require_not_deferred(self, *, ignore_rejected_token: bool = False) -> None:
        """Raise AppPausedError, TokenRejectedError or ProviderUnavailableError until a refresh is due.

        With `ignore_rejected_token`, a refresh that waits only because the last token was rejected
        may start now.
        """
        grant = self.grant
        if pause := get_app_pause(self.row.oauth_app, self.now):
            remaining = (pause.until - self.now).total_seconds()
            raise AppPausedError("its provider rejects it.", remaining)
        if grant.failures and grant.next_at and not self._is_app_corrected():
            delay = (grant.next_at - self.now).total_seconds()
            if delay > 0 and grant.error == ACCESS_REJECTED:
                if ignore_rejected_token:
                    return
                raise TokenRejectedError(delay)
            if delay > 0:
                raise ProviderUnavailableError(delay)

    def _is_alive(self) -> bool:
        """Return True if the stored token has not expired or been rejected, as far as that is known."""
        expires_at = self.row.expires_at
        is_expired = expires_at is not None and expires_at <= self.now
        return not is_expired and self.grant.error != ACCESS_REJECTED

    def _is_app_corrected(self) -> bool:
        """Return True if the app was changed after this grant was rejected because of it."""
        app = self.row.oauth_app
        pause = getattr(app, "refresh_pause", None)
        return bool(
            app and pause and pause.revision != app.revision and self.grant.error == pause.code
        )

    def _needed_seconds(self) -> float:
        """Return `min_seconds`, but at most half of the token's whole lifetime."""
        last_at, expires_at = self.grant.last_at, self.row.expires_at
        if last_at is None or expires_at is None:
            return self.min_seconds
        return min(self.min_seconds, (expires_at - last_at).total_seconds() / 2)
