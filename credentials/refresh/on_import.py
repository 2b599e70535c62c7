"""What an import means for a grant's life: a new grant starts anew, an unchanged one goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Final

from credentials.core.columns import TABLE
from credentials.core.grant_state import NEW_GRANT, NO_LEASE
from credentials.refresh.schedule import compute_first_refresh_delay
from providers.kinds import Kind
from providers.registry import get_registry

_NEW_GRANT: Final = {
    **{
        name: "NULL" if value is None else repr(value)
        for name, value in {**NEW_GRANT, **NO_LEASE}.items()
    },
    "refresh_next_at": "excluded.refresh_next_at",
}

ON_CONFLICT_SET: Final = f"generation = {TABLE}.generation + excluded.generation, " + ", ".join(
    f"{name} = CASE WHEN excluded.generation > 0 THEN {value} ELSE {TABLE}.{name} END"
    for name, value in _NEW_GRANT.items()
)
"""The SET of an upsert whose `generation` is 1 where the import brings other secrets, else 0.

What is under way with the old grant finds another generation, and so writes nothing.
"""


def compute_first_refresh_at(
    kind: Kind,
    secrets: Collection[str],
    *,
    expires_at: dt.datetime | None,
    obtained_at: dt.datetime | None,
    now: dt.datetime,
) -> dt.datetime | None:
    """When a grant that was just imported is refreshed for the first time; None: never by itself.

    `secrets` are the names of those it has. At once where there is no access token, or where
    nobody said how long it lives: a refresh tells.
    """
    if not kind.refreshes or (kind.grant == "refresh_token" and "refresh_token" not in secrets):
        return None
    if kind.secret_fields and ("access_token" not in secrets or expires_at is None):
        return now
    if expires_at is None:
        return None  # Its tokens are made when they are asked for (a GitHub installation's).
    lifetime = (expires_at - obtained_at).total_seconds() if obtained_at else _lifetime(kind)
    remaining = (expires_at - now).total_seconds()
    return now + dt.timedelta(seconds=compute_first_refresh_delay(remaining, lifetime))


def _lifetime(kind: Kind) -> float | None:
    provider = get_registry().get_provider(kind.provider)
    return provider.oauth.refresh.access_token_seconds if provider and provider.oauth else None
