"""Who may refresh a grant now: one conditional UPDATE decides, by the database's clock."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
import uuid
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q, QuerySet

from common.actors import Actor
from common.db import dialect
from common.db.clock import DbNow, to_datetime
from credentials.core.columns import get_columns_except
from credentials.core.grant_state import (
    APP_PAUSED_SQL,
    DUE_AND_FREE_SQL,
    NO_LEASE,
    NOT_ENDED,
    NOT_ENDED_SQL,
    NOT_LEASED,
)
from credentials.models import Credential
from credentials.refresh.types import RefreshClaim

_SECONDS: Final = 20
LEASE_DURATION: Final = dt.timedelta(seconds=_SECONDS)
"""Longer than a call may take (12 s), shorter than the grace periods of most providers."""


def claim_grant(*, id: uuid.UUID, generation: int, actor: Actor, stale: Q) -> RefreshClaim | None:
    """Claim the grant of this generation, if `stale` still holds of it and nobody else has it.

    The same statement notes the attempt: from here on its outcome is unknown until it is written.
    """
    owner = create_owner_id()
    rows = Credential.objects.filter(NOT_LEASED, NOT_ENDED, stale, id=id, generation=generation)
    with transaction.atomic():
        if not rows.update(**_taken(owner)):
            return None
        return _claims([id], owner, actor)[0]


def claim_due_grants(app_id: uuid.UUID, limit: int, *, actor: Actor) -> list[RefreshClaim]:
    """Claim the longest due grants of this app, at most `limit`, unless it is paused.

    Rows that another process is claiming at this moment are left to it, without waiting.
    """
    return _take(_DUE, [dialect.adapt(app_id), limit], actor)


def claim_abandoned_grants(limit: int, *, actor: Actor) -> list[RefreshClaim]:
    """Claim grants, at most `limit`, whose refresher's lease ran out, the longest dead first."""
    return _take(_ABANDONED, [limit], actor)


def extend_lease(claim: RefreshClaim) -> bool:
    """Another whole lease for the second call of one attempt; False if it was lost meanwhile."""
    return bool(filter_claimed(claim).update(lease_until=DbNow() + LEASE_DURATION))


def filter_claimed(claim: RefreshClaim) -> QuerySet[Credential]:
    """The claim's row, if generation and owner are still the claim's: what every outcome compares."""
    return Credential.objects.filter(
        id=claim.row.id, generation=claim.generation, lease_owner=claim.owner
    )


def release_lease(claim: RefreshClaim) -> None:
    """Free the row for its new generation, where another grant came without ending our lease."""
    rows = Credential.objects.filter(id=claim.row.id, lease_owner=claim.owner)
    rows.update(**NO_LEASE)


def create_owner_id() -> str:
    """Unique for each claim, so that it also fences: an older claim's outcome finds another owner."""
    return secrets.token_hex(16)


def _taken(owner: str) -> dict[str, Any]:
    return {
        "lease_owner": owner,
        "lease_until": DbNow() + LEASE_DURATION,
        "refresh_unknowns": F("refresh_unknowns") + 1,
    }


def _claims(ids: list[uuid.UUID], owner: str, actor: Actor) -> list[RefreshClaim]:
    rows = Credential.objects.filter(id__in=ids, lease_owner=owner).annotate(now=DbNow())
    rows = rows.select_related("oauth_app__refresh_pause").defer("metadata", "health")
    return [RefreshClaim(row=row, owner=owner, claimed_at=row.now, actor=actor) for row in rows]


_DUE: Final = f"""oauth_app_id = %s AND {DUE_AND_FREE_SQL} AND NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id
        WHERE app.id = credentials_credential.oauth_app_id AND {APP_PAUSED_SQL}
    ) ORDER BY refresh_next_at"""  # noqa: S608 - our own names
_ABANDONED: Final = f"lease_until < {{now}} AND {NOT_ENDED_SQL} ORDER BY lease_until"
_COLUMNS: Final = ", ".join(get_columns_except("metadata", "health"))
# An array is made once; a join with a limited subquery could run it again and claim more.
_CHOSEN: Final = {
    "postgresql": "ANY (ARRAY(SELECT id FROM credentials_credential WHERE {which} LIMIT %s"
    " FOR NO KEY UPDATE SKIP LOCKED))",
    "sqlite": "(SELECT id FROM credentials_credential WHERE {which} LIMIT %s)",
}


def _take(which: str, params: list[Any], actor: Actor) -> list[RefreshClaim]:
    """One statement chooses, claims and reads. The rows come without their apps."""
    owner = create_owner_id()
    sql = _take_sql(which, dialect.now_sql(), dialect.now_sql(plus=_SECONDS))
    rows: list[Any] = list(Credential.objects.raw(sql, [owner, *params]))
    return [
        RefreshClaim(row=row, owner=owner, claimed_at=to_datetime(row.claimed_at), actor=actor)
        for row in rows
    ]


@functools.lru_cache(maxsize=8)
def _take_sql(which: str, now: str, later: str) -> str:
    """Written out, because a worker runs it for every few grants: see credentials/core/queries.py."""
    chosen = dialect.choose(**_CHOSEN).format(which=which.format(now=now))
    operator = dialect.choose(postgresql="=", sqlite="IN")
    return f"""
        UPDATE credentials_credential
        SET lease_owner = %s, lease_until = {later}, refresh_unknowns = refresh_unknowns + 1
        WHERE id {operator} {chosen} RETURNING {_COLUMNS}, {now} AS claimed_at
    """  # noqa: S608 - our own names and clock
