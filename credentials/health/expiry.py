"""Forecasts of when a credential stops working, from its own expiry and the provider's rules."""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

from credentials.core.grant_state import get_grant
from credentials.models import Credential
from providers.kinds import Kind
from providers.registry import get_registry

HORIZON: Final = dt.timedelta(days=7)
"""The longest time before an expiry at which people are warned."""


class ExpiryForecast(NamedTuple):
    """The credential stops working at `ends_at`. People are warned from `warn_from` on, by `note`.

    `is_certain` is False if using or refreshing the credential moves the end.
    """

    ends_at: dt.datetime
    warn_from: dt.datetime
    note: str
    is_certain: bool


def forecast_expiry(
    row: Credential, kind: Kind, replaced_at: dt.datetime | None = None
) -> ExpiryForecast | None:
    """Return the next end of `row`, None if none is known. Decrypts nothing.

    `replaced_at` is when the present grant replaced another one, None if it is the first.
    """
    if not is_refreshable(row, kind):
        if row.expires_at is None:
            return None
        return _build_forecast(row.expires_at, HORIZON, "replaced", is_certain=True)
    oauth = get_registry().get_oauth(kind.name)
    facts = oauth.refresh if oauth else None
    # Without a refresh token there is no grant that could expire: the app's key gets the tokens.
    if facts is None or "refresh_token" not in row.fingerprints:
        return None
    granted_at = row.obtained_at or replaced_at or row.created_at
    refreshed_at = max(granted_at, get_grant(row).last_at or granted_at)
    forecasts = []
    if facts.idle_days is not None:
        limit = dt.timedelta(days=facts.idle_days)
        forecasts.append(_build_forecast(refreshed_at + limit, limit / 4, "refreshed before"))
    if facts.lifetime_days is not None:
        limit = dt.timedelta(days=facts.lifetime_days)
        # A rotating refresh token starts again with each refresh. If the provider also has an idle
        # limit, however, the lifetime is that of the whole grant, from the user's consent on.
        if facts.rotates is True and facts.idle_days is None:
            end, remedy = refreshed_at + limit, "refreshed before"
        else:
            end, remedy = granted_at + limit, "connected again"
        forecasts.append(_build_forecast(end, limit / 4, remedy))
    return min(forecasts, key=lambda forecast: forecast.ends_at, default=None)


def is_refreshable(row: Credential, kind: Kind) -> bool:
    """Return True if new access tokens can be requested for the credential."""
    if kind.grant == "refresh_token":
        return "refresh_token" in row.fingerprints
    return kind.refreshes


def _build_forecast(
    ends_at: dt.datetime, warn_before: dt.timedelta, remedy: str, *, is_certain: bool = False
) -> ExpiryForecast:
    day = f"{ends_at.astimezone(dt.UTC):%Y-%m-%d}"
    note = f"It will stop working on {day} unless it is {remedy}."
    return ExpiryForecast(ends_at, ends_at - min(warn_before, HORIZON), note, is_certain)
