"""When a credential will stop working by itself: from its own expiry, and from what its provider says."""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

from credentials.models import Credential
from providers.kinds import Kind, Refresh
from providers.registry import get_registry

HORIZON: Final = dt.timedelta(days=7)


class ExpiryForecast(NamedTuple):
    """It ends at `ends`; people are told from `warn_from` on, in the words of `note`.

    `certain`: it is over then, whatever anybody does; else using or refreshing it moves the end.
    """

    ends_at: dt.datetime
    warn_from: dt.datetime
    note: str
    is_certain: bool


def forecast_expiry(
    row: Credential, kind: Kind, replaced_at: dt.datetime | None = None
) -> ExpiryForecast | None:
    """The next end of `row`, or None where none is known. Opens no seal.

    `replaced_at`: when the grant that is held replaced another, where it did.
    """
    if not refreshable(row, kind):
        if row.expires_at is None:
            return None
        note = f"It will stop working on {_day(row.expires_at)} unless it is replaced."
        return _told(row.expires_at, HORIZON, note, certain=True)
    facts = _refresh_facts(kind)
    # Kinds that get tokens with the app's own key hold no grant that could grow old.
    if facts is None or "refresh_token" not in row.fingerprints:
        return None
    granted = row.obtained_at or replaced_at or row.created_at
    renewed = max(granted, row.refresh_last_at or granted)
    found = [end for end in (_idle(facts, renewed), _lifetime(facts, granted, renewed)) if end]
    return min(found, key=lambda end: end.ends_at, default=None)


def refreshable(row: Credential, kind: Kind) -> bool:
    """Whether new access tokens can be had for it: not by a grant that came without a refresh token."""
    if kind.grant == "refresh_token":
        return "refresh_token" in row.fingerprints
    return kind.refreshes


def _refresh_facts(kind: Kind) -> Refresh | None:
    provider = get_registry().get_provider(kind.provider)
    return provider.oauth.refresh if provider and provider.oauth else None


def _idle(facts: Refresh, renewed: dt.datetime) -> ExpiryForecast | None:
    if facts.idle_days is None:
        return None
    limit = dt.timedelta(days=facts.idle_days)
    note = f"It will stop working on {_day(renewed + limit)} unless it is refreshed before."
    return _told(renewed + limit, limit / 4, note, certain=False)


def _lifetime(facts: Refresh, granted: dt.datetime, renewed: dt.datetime) -> ExpiryForecast | None:
    """Counted from the consent; where each refresh makes a new token, from the last refresh.

    Unless the provider also names an idle limit: then the lifetime is the whole grant's.
    """
    if facts.lifetime_days is None:
        return None
    limit = dt.timedelta(days=facts.lifetime_days)
    anew = facts.rotates is True and facts.idle_days is None
    ends = (renewed if anew else granted) + limit
    remedy = "refreshed before" if anew else "connected again"
    note = f"It will stop working on {_day(ends)} unless it is {remedy}."
    return _told(ends, limit / 4, note, certain=False)


def _told(ends: dt.datetime, before: dt.timedelta, note: str, *, certain: bool) -> ExpiryForecast:
    return ExpiryForecast(ends, ends - min(before, HORIZON), note, certain)


def _day(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d}"
