"""The refresh state that an import gives to a grant: a new grant starts again, an unchanged one goes on."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from common.db import bulk_insert
from credentials.core.columns import GRANT_TABLE, get_postgresql_types
from credentials.core.grant_state import NEW_GRANT, NO_LEASE
from credentials.models import Grant
from credentials.refresh.schedule import compute_first_refresh_delay
from providers.kinds import Kind
from providers.registry import get_registry

_NEW_GRANT: Final = {
    **{
        name: "NULL" if value is None else repr(value)
        for name, value in {**NEW_GRANT, **NO_LEASE}.items()
    },
    "next_at": "excluded.next_at",
}
_ON_CONFLICT: Final = (
    "ON CONFLICT (id) DO UPDATE SET oauth_app_id = excluded.oauth_app_id,"
    f" generation = {GRANT_TABLE}.generation + excluded.generation, "
    + ", ".join(
        f"{name} = CASE WHEN excluded.generation > 0 THEN {value} ELSE {GRANT_TABLE}.{name} END"
        for name, value in _NEW_GRANT.items()
    )
)


class ImportedGrant(NamedTuple):
    """A grant as an import writes it: the fields are the columns.

    `generation` is 1 if the import brings other secrets for a stored grant, otherwise 0. `on_hold` is
    that of a new grant; a stored one keeps its own, see `set_hold`.
    """

    id: uuid.UUID
    account_id: uuid.UUID
    oauth_app_id: uuid.UUID | None
    generation: int
    next_at: dt.datetime | None
    on_hold: bool


_COLUMNS: Final = get_postgresql_types(ImportedGrant._fields, Grant)


def write_imported_grants(grants: Sequence[ImportedGrant]) -> None:
    """Create the grants that are new, and reset those whose secrets were replaced.

    A refresh that is running with the old grant finds another generation and stores nothing. The
    caller has locked or created their credentials in the same transaction.
    """
    bulk_insert.insert_rows(GRANT_TABLE, _COLUMNS, grants, suffix=_ON_CONFLICT)


def set_hold(account_id: uuid.UUID, grant_ids: Collection[uuid.UUID], *, on_hold: bool) -> None:
    """Put grants on hold or release them, in the caller's transaction."""
    grants = Grant.objects.filter(account_id=account_id, id__in=grant_ids)
    grants.filter(on_hold=not on_hold).update(on_hold=on_hold)


def compute_first_refresh_at(
    kind: Kind,
    secrets: Collection[str],
    *,
    expires_at: dt.datetime | None,
    obtained_at: dt.datetime | None,
    now: dt.datetime,
) -> dt.datetime | None:
    """Return when a new grant is refreshed for the first time, None if the worker never does so.

    `secrets` are the names of the secret fields that it has.
    """
    if not kind.refreshes or (kind.grant == "refresh_token" and "refresh_token" not in secrets):
        return None
    # Without an access token or its expiry, a refresh brings both.
    if kind.secret_fields and ("access_token" not in secrets or expires_at is None):
        return now
    if expires_at is None:
        return None  # Its tokens are requested when they are needed (a GitHub installation's).
    if obtained_at:
        lifetime: float | None = (expires_at - obtained_at).total_seconds()
    else:
        oauth = get_registry().get_oauth(kind.name)
        lifetime = oauth.refresh.access_token_seconds if oauth else None
    remaining = (expires_at - now).total_seconds()
    return now + dt.timedelta(seconds=compute_first_refresh_delay(remaining, lifetime))
