"""Pause an OAuth app after its provider has rejected it for two independent grants.

One rejection proves nothing: providers also send `unauthorized_client` and the like if only a single
grant is dead. So the first one is only recorded, and another grant of the app is refreshed within
seconds. If that one is rejected too, and no grant of the app has been refreshed since, the app is
paused for 1, 2, 4 ... minutes, until a refresh succeeds. If the app has no other grant, a refresh
with a made-up token (a canary) takes its place.
"""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from typing import Final

from django.db.models import Q, QuerySet

from common.db.clock import DbNow
from credentials.core.grant_state import ACTIVE
from credentials.models import AppPause, Grant
from credentials.refresh.schedule import (
    REJECTED_AFTER_ALONE_SECONDS,
    REJECTED_AFTER_SECONDS,
    compute_app_pause,
)
from credentials.refresh.types import RefreshClaim
from oauth_apps import protocol
from oauth_apps.client_config import build_oauth_client
from oauth_apps.models import OAuthApp
from oauth_apps.protocol import AppError, OAuth2Error
from providers.registry import get_registry
from vault.secret import Secret

# Enough to find a grant that works, without a scan of an app that has 100,000 of them.
_SIBLINGS_READ: Final = 50


def needs_canary(claim: RefreshClaim) -> bool:
    """Return True if only a made-up refresh token can confirm that this app is rejected.

    This is the case if the app has no other grant and this one is rejected for the second time.
    """
    app = claim.row.oauth_app
    pause = AppPause.objects.filter(oauth_app_id=claim.row.oauth_app_id).first()
    return (
        app is not None
        and pause is not None
        and pause.revision == app.revision
        and pause.credential_id == claim.row.id
        and not _find_siblings(claim).exists()
    )


def rejects_canary(claim: RefreshClaim) -> bool:
    """Request a refresh with a made-up token. Return True if the provider rejects the app itself.

    A provider that accepts the app rejects the token instead, with `invalid_grant` (RFC 6749,
    section 5.2). Kinds without refresh tokens need no request: the app is their only grant.
    """
    kind = get_registry().kinds[claim.row.kind]
    if kind.grant != "refresh_token" or claim.row.oauth_app is None:
        return True
    try:
        client = build_oauth_client(claim.row.oauth_app, kind.name, claim.row.properties)
        protocol.refresh_tokens(client, refresh_token=Secret(secrets.token_urlsafe(24)))
    except AppError:
        return True
    except OAuth2Error:
        return False
    return False


def reject_app(claim: RefreshClaim, error: OAuth2Error, *, canary_rejected: bool) -> float | None:
    """Record that the provider rejected the app when one of its grants was refreshed.

    Returns the seconds for which the app is paused, None if it is not. Must be called in the
    transaction that settles the claim. `claim.row` is the row as it was claimed.
    """
    app = claim.row.oauth_app
    if app is None or _has_sibling_worked(claim, claim.grant.rejected_since):
        return None
    pause = AppPause.objects.select_for_update().filter(oauth_app_id=app.id).first()
    if (
        pause is None
        or pause.revision != app.revision
        or pause.rejected_at is None
        or _has_sibling_worked(claim, pause.rejected_at)
    ):
        _record_first_rejection(claim, app, error)
        return None
    if not canary_rejected and not _is_independent(claim, pause):
        return None
    seconds = compute_app_pause(pause.pauses)
    pause.until = DbNow() + dt.timedelta(seconds=seconds)
    pause.pauses += 1
    pause.code = error.code[:64]
    pause.save(update_fields=["until", "pauses", "code"])
    return seconds


def end_pause(app_id: uuid.UUID) -> None:
    """Delete the pause of an app that works again, and let the grants that caused it be tried now.

    Their next attempts were after the end of the pause, which may have been an hour.
    """
    pause = AppPause.objects.filter(oauth_app_id=app_id).first()
    if pause is None:
        return
    if pause.pauses:
        suspects = Grant.objects.filter(
            oauth_app_id=app_id, error=pause.code, failures__gt=0, next_at__gt=DbNow()
        )
        # A grant that is locked is being refreshed, and waiting for it could be a deadlock.
        unlocked = suspects.select_for_update(skip_locked=True).values_list("id", flat=True)
        Grant.objects.filter(id__in=list(unlocked)).update(next_at=DbNow())
    pause.delete()


def is_given_up(claim: RefreshClaim, rejected_since: dt.datetime) -> bool:
    """Return True if the provider has rejected only this grant for so long that it must be dead.

    That is after 72 hours if another grant of the app was refreshed in that time, and after 7 days if
    another one is active. An app's only grant is never given up: its app may be what is rejected.
    """
    seconds = (claim.claimed_at - rejected_since).total_seconds()
    if seconds < REJECTED_AFTER_SECONDS:
        return False
    if _has_sibling_worked(claim, rejected_since):
        return True
    return seconds >= REJECTED_AFTER_ALONE_SECONDS and _find_siblings(claim).exists()


def _record_first_rejection(claim: RefreshClaim, app: OAuthApp, error: OAuth2Error) -> None:
    """Store which grant was rejected first, and make another grant of the app due now."""
    AppPause.objects.update_or_create(
        oauth_app_id=app.id,
        defaults={
            "revision": app.revision,
            "until": DbNow(),
            "code": error.code[:64],
            "credential_id": claim.row.id,
            "rejected_at": claim.claimed_at,
            "pauses": 0,
        },
    )
    # The next refresh of another grant shows if the app is rejected: the one that worked last.
    newest = _find_siblings(claim).order_by("-id").values_list("id", "last_at")
    if rows := list(newest[:_SIBLINGS_READ]):
        never = dt.datetime.min.replace(tzinfo=dt.UTC)
        id, _ = max(rows, key=lambda row: row[1] or never)
        later = Q(next_at__isnull=True) | Q(next_at__gt=DbNow())
        Grant.objects.filter(later, id=id).update(next_at=DbNow())


def _is_independent(claim: RefreshClaim, pause: AppPause) -> bool:
    """Return True if this is not the grant that was rejected first, nor one rejected before it."""
    rejected_since = claim.grant.rejected_since
    return claim.row.id != pause.credential_id and (
        rejected_since is None or pause.rejected_at is None or rejected_since >= pause.rejected_at
    )


def _find_siblings(claim: RefreshClaim) -> QuerySet[Grant]:
    """Return the other grants of the app that can be refreshed."""
    rows = Grant.objects.filter(
        account_id=claim.row.account_id,
        oauth_app_id=claim.row.oauth_app_id,
        state=ACTIVE,
        on_hold=False,
        rejected_since__isnull=True,
        credentials__kind=claim.row.kind,
    )
    return rows.exclude(id=claim.grant.id)


def _has_sibling_worked(claim: RefreshClaim, since: dt.datetime | None) -> bool:
    """Return True if another grant of the app was refreshed after `since`; False without a `since`."""
    if since is None:
        return False
    rows = Grant.objects.filter(
        account_id=claim.row.account_id,
        oauth_app_id=claim.row.oauth_app_id,
        last_at__gt=since,
    )
    return rows.exclude(id=claim.grant.id).exists()
