"""The state of a grant: how it begins and ends, and which secrets a credential is known by.

Refreshes, rotations, imports and staff all change these columns. Their values come from here.
SQL texts have `{now}` for the database's time (`now_sql`) and name the columns without a table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.models import Q

from common.db.clock import DbNow
from credentials.models import AppPause, Credential, Grant
from oauth_apps.models import OAuthApp

ACTIVE: Final = "active"
NEEDS_REAUTH: Final = "needs_reauth"
"""The provider rejects the grant: only another grant ends this state."""
PAUSED: Final = "paused"
"""The stored secrets cannot be decrypted with the keys of this server."""

ACCESS_REJECTED: Final = "token_rejected"
"""The error of a grant whose access token was rejected by a probe before it expired."""

NO_LEASE: Final[Mapping[str, Any]] = {"lease_owner": "", "lease_until": None}
NO_FAILURES: Final[Mapping[str, Any]] = {
    "failures": 0,
    "failing_since": None,
    "rejected_since": None,
    "error": "",
}
NEW_GRANT: Final[Mapping[str, Any]] = {
    **NO_FAILURES,
    "previous": None,
    "state": ACTIVE,
    "unknowns": 0,
    "in_doubt_since": None,
    "last_at": None,
}
"""Columns of a grant that has no past. `generation` and `next_at` depend on the caller."""

ENDED_GRANT: Final[Mapping[str, Any]] = {
    **NO_LEASE,
    "state": NEEDS_REAUTH,
    "next_at": None,
    "failures": 0,
    "failing_since": None,
    "rejected_since": None,
    "previous": None,
}
"""Columns of a grant that cannot be refreshed any more. `error` says why."""

NOT_LEASED: Final = Q(lease_until__isnull=True) | Q(lease_until__lt=DbNow())
NOT_ENDED: Final = ~Q(state=NEEDS_REAUTH)
NOT_ON_HOLD: Final = Q(on_hold=False)

# As a subquery, because no index serves a comparison with a volatile function.
DUE_AND_FREE_SQL: Final = """next_at <= (SELECT {now})
    AND (lease_until IS NULL OR lease_until < {now}) AND NOT on_hold"""
ABANDONED_SQL: Final = "next_at <= (SELECT {now}) AND lease_until < {now} AND NOT on_hold"
"""A leased grant is due, so that the index of due grants finds this."""
APP_PAUSED_SQL: Final = "pause.revision = app.revision AND pause.until > {now}"
"""Of an `oauth_apps_oauthapp app` and the `credentials_apppause pause` that belongs to it."""

KEPT_FROM_REFRESHES: Final = 4
KEPT_FROM_PEOPLE: Final = 8
"""Former secrets of a field that an import may bring back without any effect."""


def get_grant(row: Credential) -> Grant:
    """Return the grant of `row`, or one that is not stored if the credential has none."""
    return row.grant or Grant(generation=0, lease_owner="", **NEW_GRANT)


def is_leased(grant: Grant | None, now: dt.datetime) -> bool:
    """Return True while a process may be refreshing the grant."""
    return grant is not None and grant.lease_until is not None and grant.lease_until >= now


def get_app_pause(app: OAuthApp | None, now: dt.datetime) -> AppPause | None:
    """Return the pause of an app that its provider rejects, or None. A change of the app ends it."""
    pause: AppPause | None = getattr(app, "refresh_pause", None)
    if app and pause and pause.revision == app.revision and pause.until > now:
        return pause
    return None


def start_history(fingerprint: str) -> list[str]:
    """Return the fingerprints of a field whose secret an import has brought.

    An import may return to a former secret, so those before it are forgotten.
    """
    return [fingerprint, fingerprint]


def add_rotated(history: Sequence[str], fingerprint: str) -> list[str]:
    """Return the fingerprints of a field after a rotation to another secret."""
    if not history:
        return start_history(fingerprint)
    current, imported, refreshed, supplied = _split(history)
    if current != imported:
        refreshed = [current, *refreshed]
    return _join(fingerprint, fingerprint, refreshed, [imported, *supplied])


def add_refreshed(history: Sequence[str], fingerprint: str) -> list[str]:
    """Return the fingerprints of a field after a refresh that brought another secret."""
    if not history:
        return start_history(fingerprint)
    current, imported, refreshed, supplied = _split(history)
    return _join(fingerprint, imported, [current, *refreshed], supplied)


def _split(history: Sequence[str]) -> tuple[str, str, list[str], list[str]]:
    current, imported, *former = history
    return current, imported, former[:KEPT_FROM_REFRESHES], former[KEPT_FROM_REFRESHES:]


def _join(current: str, imported: str, refreshed: list[str], supplied: list[str]) -> list[str]:
    """Return the stored form: [current, imported, up to 4 of refreshes, up to 8 of people].

    Secrets of people have places of their own: a file of last month may bring one back, and a
    grant that is refreshed every hour would push it out within half a day.
    """
    known = {current, imported}
    supplied = [each for each in dict.fromkeys(supplied) if each not in known][:KEPT_FROM_PEOPLE]
    known.update(supplied)
    refreshed = [each for each in dict.fromkeys(refreshed) if each not in known]
    refreshed = refreshed[:KEPT_FROM_REFRESHES]
    if supplied:
        refreshed += [imported] * (KEPT_FROM_REFRESHES - len(refreshed))
    return [current, imported, *refreshed, *supplied]
