"""The lease of a grant: one conditional UPDATE by the database's clock decides who may refresh it."""

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
    NOT_LEASED,
)
from credentials.models import Credential
from credentials.refresh.types import RefreshClaim

_SECONDS: Final = 20
LEASE_DURATION: Final = dt.timedelta(seconds=_SECONDS)
"""Longer than a call may take (12 s), shorter than the grace periods of most providers."""

_DUE: Final = f"""oauth_app_id = %s AND {DUE_AND_FREE_SQL} AND NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id
        WHERE app.id = credentials_credential.oauth_app_id AND {APP_PAUSED_SQL}
    ) ORDER BY refresh_next_at"""  # noqa: S608 - our own names
_ABANDONED: Final = "lease_until < {now} ORDER BY lease_until"
_COLUMNS: Final = ", ".join(get_columns_except("metadata", "health"))
# An array is built once. A join with a limited subquery could run it again and claim more rows.
_SELECTED_IDS: Final = {
    "postgresql": "= ANY (ARRAY(SELECT id FROM credentials_credential WHERE {condition} LIMIT %s"
    " FOR NO KEY UPDATE SKIP LOCKED))",
    "sqlite": "IN (SELECT id FROM credentials_credential WHERE {condition} LIMIT %s)",
}


def claim_grant(*, id: uuid.UUID, generation: int, actor: Actor, stale: Q) -> RefreshClaim | None:
    """Claim the grant of this generation, if `stale` still holds and no process has its lease.

    The same statement counts the attempt: its outcome is unknown until one is stored.
    """
    owner = create_owner_id()
    rows = Credential.objects.filter(NOT_LEASED, NOT_ENDED, stale, id=id, generation=generation)
    with transaction.atomic():
        if not rows.update(
            lease_owner=owner,
            lease_until=DbNow() + LEASE_DURATION,
            refresh_unknowns=F("refresh_unknowns") + 1,
        ):
            return None
        claimed = Credential.objects.filter(id=id, lease_owner=owner).annotate(now=DbNow())
        claimed = claimed.select_related("oauth_app__refresh_pause").defer("metadata", "health")
        row = claimed.get()
        return RefreshClaim(row=row, owner=owner, claimed_at=row.now, actor=actor)


def claim_due_grants(app_id: uuid.UUID, limit: int, *, actor: Actor) -> list[RefreshClaim]:
    """Claim at most `limit` due grants of this app, the longest due first, unless it is paused.

    Rows that another process is claiming at the same time are skipped without waiting.
    """
    return _claim_rows(_DUE, [dialect.adapt(app_id), limit], actor)


def claim_abandoned_grants(limit: int, *, actor: Actor) -> list[RefreshClaim]:
    """Claim at most `limit` grants whose lease has expired, the oldest lease first."""
    return _claim_rows(_ABANDONED, [limit], actor)


def extend_lease(claim: RefreshClaim) -> bool:
    """Start the whole lease again, for a second call. Return False if it was lost."""
    return bool(filter_claimed(claim).update(lease_until=DbNow() + LEASE_DURATION))


def filter_claimed(claim: RefreshClaim) -> QuerySet[Credential]:
    """Return the claim's row, if its generation and owner are still the claim's, or no row."""
    return Credential.objects.filter(
        id=claim.row.id, generation=claim.generation, lease_owner=claim.owner
    )


def release_lease(claim: RefreshClaim) -> None:
    """Release the row for a new generation that came without ending this lease (a rotation)."""
    rows = Credential.objects.filter(id=claim.row.id, lease_owner=claim.owner)
    rows.update(**NO_LEASE)


def create_owner_id() -> str:
    """Return an owner that is unique for each claim, so that it also fences off older claims."""
    return secrets.token_hex(16)


def _claim_rows(condition: str, params: list[Any], actor: Actor) -> list[RefreshClaim]:
    """Select, claim and read in one statement. The rows come without their apps."""
    owner = create_owner_id()
    sql = _build_claim_sql(condition, dialect.now_sql(), dialect.now_sql(plus=_SECONDS))
    rows: list[Any] = list(Credential.objects.raw(sql, [owner, *params]))
    return [
        RefreshClaim(row=row, owner=owner, claimed_at=to_datetime(row.claimed_at), actor=actor)
        for row in rows
    ]


# Written out, because a worker runs it for every few grants.
@functools.lru_cache(maxsize=8)
def _build_claim_sql(condition: str, now: str, later: str) -> str:
    selected = dialect.choose(**_SELECTED_IDS).format(condition=condition.format(now=now))
    return f"""
        UPDATE credentials_credential
        SET lease_owner = %s, lease_until = {later}, refresh_unknowns = refresh_unknowns + 1
        WHERE id {selected} RETURNING {_COLUMNS}, {now} AS claimed_at
    """  # noqa: S608 - our own names and clock
