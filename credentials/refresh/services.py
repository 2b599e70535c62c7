"""The one function behind /token, /refresh, the proxy and the worker."""

from __future__ import annotations

import datetime as dt
import random
import time
import uuid
from typing import Final

from django.db.models import Q

from common.actors import Actor
from common.concurrency import require_capacity, sleep
from common.db.clock import DbNow
from common.errors import NotFoundError
from credentials.core.encryption import decrypt_secrets
from credentials.core.grant_state import NEEDS_REAUTH, PAUSED, is_app_paused, is_leased
from credentials.models import Credential
from credentials.refresh import attempt, lease, spool
from credentials.refresh.errors import (
    AppPausedError,
    NeedsReauthError,
    NotRefreshableError,
    ProviderUnavailableError,
    RefreshInProgressError,
)
from credentials.refresh.types import AccessToken
from providers.registry import get_registry
from vault.secret import Secret

MAX_WAIT_SECONDS: Final = 12.0
"""Seconds that a caller waits for another's refresh."""

STARTS_WITHIN: Final = 3.0
"""…and in which it may still start one itself: with the call's 12 s it has its answer within 15 s."""

_FIRST_NAP: Final = (0.02, 0.08)
_LAST_NAP: Final = (0.15, 0.35)

_random = random.SystemRandom()


def get_fresh_token(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    min_seconds: int = 60,
    force: bool = False,
    min_interval: int = 0,
) -> AccessToken:
    """An access token that lives `min_seconds` more, refreshed if need be.

    A token whose whole life is short counts as fresh for half of it. `force` refreshes one that
    is still fresh, but not twice where several callers force at once. With `not_within` it is
    forced by evidence alone, by nobody's wish: neither where one was refreshed within so many
    seconds, nor while its provider or its app is to be left alone. Never call it in a transaction.
    Raises NotFound, Conflict (`extra["code"]`: needs_reauth, not_refreshable), SecretUnavailable, or
    Unavailable with `retry_after` (provider_unavailable, app_paused, refresh_in_progress) within 15 s.
    """
    began = time.monotonic()
    first: int | None = None
    while True:
        view = _View(account_id, id, min_seconds)
        first = view.row.generation if first is None else first
        forced = force and view.row.generation == first and not view.refreshed_within(min_interval)
        if not forced and view.is_fresh(since=first):
            return view.token()
        view.refuse()
        waited = time.monotonic() - began
        if view.is_leased():
            if waited > MAX_WAIT_SECONDS:
                raise RefreshInProgressError()
            require_capacity()
            sleep(_nap(waited))
            continue
        view.refuse_for_now(forced=forced and not min_interval)
        if waited > STARTS_WITHIN:
            raise RefreshInProgressError()
        require_capacity()
        fresh = _refresh(view, actor, forced)
        if fresh is not None:
            return fresh


def _refresh(view: _View, actor: Actor, forced: bool) -> AccessToken | None:
    """None: another was first, or the row changed; look again."""
    spool.replay_one(view.row.id)
    claim = lease.claim_grant(
        id=view.row.id,
        generation=view.row.generation,
        actor=actor,
        stale=Q() if forced else view.stale(),
    )
    return attempt.run_attempt(claim) if claim else None


def _nap(waited: float) -> float:
    """Short at first: most refreshes take a few hundred milliseconds."""
    return _random.uniform(*(_FIRST_NAP if waited < 0.5 else _LAST_NAP))


class _View:
    """A credential as it is now, and what can be said of its token."""

    def __init__(self, account_id: uuid.UUID, id: uuid.UUID, min_seconds: int) -> None:
        rows = Credential.objects.filter(account_id=account_id, id=id).annotate(now=DbNow())
        rows = rows.select_related("oauth_app__refresh_pause").defer("metadata", "health")
        row = rows.first()
        if row is None:
            raise NotFoundError()
        self.row = row
        self.now: dt.datetime = row.now
        self.min_seconds = min_seconds

    def token(self) -> AccessToken:
        """Raises SecretUnavailable."""
        access = Secret(decrypt_secrets(self.row)["access_token"])
        return AccessToken(access_token=access, token_type="Bearer", expires_at=self.row.expires_at)  # noqa: S106

    def is_fresh(self, *, since: int) -> bool:
        """A token that another caller refreshed since `since` is fresh while it lives at all."""
        row = self.row
        if row.refresh_state == NEEDS_REAUTH or "access_token" not in row.fingerprints:
            return False
        if row.expires_at is None:
            return not self._can_learn_expiry()
        left = (row.expires_at - self.now).total_seconds()
        return left > (0 if row.generation > since else self._needed())

    def stale(self) -> Q:
        """What the claim checks again: the token still is as it was when it was found too old."""
        ends = DbNow() + dt.timedelta(seconds=self._needed())
        return (
            Q(expires_at__isnull=True)
            | Q(expires_at__lte=ends)
            | ~Q(fingerprints__has_key="access_token")
        )

    def refuse(self) -> None:
        """Raise what no waiting will change."""
        row = self.row
        kind = get_registry().get_kind(row.kind)
        if kind is None or not kind.refreshes:
            raise NotRefreshableError(row.kind)
        if row.refresh_state == PAUSED:
            decrypt_secrets(row)  # Raises while it still does not open.
        if row.refresh_state == NEEDS_REAUTH or not self._refreshable():
            raise NeedsReauthError()

    def refuse_for_now(self, *, forced: bool) -> None:
        """Raise what time or somebody else has to change first. What somebody wishes for need not wait."""
        row = self.row
        if forced:
            return
        if is_app_paused(row.oauth_app, self.now):
            raise AppPausedError("its provider refuses it.")
        if row.refresh_failures and row.refresh_next_at:
            wait = (row.refresh_next_at - self.now).total_seconds()
            if wait > 0:
                raise ProviderUnavailableError(wait)

    def is_leased(self) -> bool:
        return is_leased(self.row, self.now)

    def refreshed_within(self, seconds: int) -> bool:
        last = self.row.refresh_last_at
        return last is not None and (self.now - last).total_seconds() < seconds

    def _needed(self) -> float:
        row = self.row
        if row.refresh_last_at is None or row.expires_at is None:
            return self.min_seconds
        return min(self.min_seconds, (row.expires_at - row.refresh_last_at).total_seconds() / 2)

    def _can_learn_expiry(self) -> bool:
        """It was imported without one, and a refresh that has not been tried yet may tell."""
        row = self.row
        return self._refreshable() and row.refresh_last_at is None and not row.refresh_failures

    def _refreshable(self) -> bool:
        kind = get_registry().get_kind(self.row.kind)
        if kind is None or not kind.refreshes:
            return False
        return kind.grant != "refresh_token" or "refresh_token" in self.row.fingerprints
