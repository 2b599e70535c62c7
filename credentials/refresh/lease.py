"""The lease of a grant: one conditional UPDATE by the database's clock decides who may refresh it."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
import time
import uuid
from dataclasses import replace
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
from credentials.core.refresh_state import SILENT_SECONDS
from credentials.models import Credential
from credentials.refresh.circuit_breaker import circuit_breaker
from credentials.refresh.schedule import SHORTEST_LEASE, compute_lease_seconds
from credentials.refresh.types import RefreshClaim
from credentials.restore.holds import NOT_WAITING, NOT_WAITING_SQL
from oauth_apps.client_config import get_fixed_token_host
from providers.registry import get_registry

_NOT_PAUSED: Final = f"""NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id
        WHERE app.id = credentials_credential.oauth_app_id AND {APP_PAUSED_SQL}
    )"""  # noqa: S608 - our own names
_DUE_OF_APP: Final = (
    f"oauth_app_id = %s AND {DUE_AND_FREE_SQL} AND {_NOT_PAUSED} AND {NOT_WAITING_SQL}"
)
_DUE: Final = f"{_DUE_OF_APP} ORDER BY refresh_next_at"
_DUE_IN_DOUBT: Final = f"{_DUE_OF_APP} AND refresh_unknowns > 0 ORDER BY refresh_next_at"
_ABANDONED: Final = f"lease_until < {{now}} AND {NOT_WAITING_SQL} ORDER BY lease_until"
_COLUMNS: Final = ", ".join(get_columns_except("metadata", "health"))
# An array is built once. A join with a limited subquery could run it again and claim more rows.
_SELECTED_IDS: Final = {
    "postgresql": "= ANY (ARRAY(SELECT id FROM credentials_credential WHERE {condition} LIMIT %s"
    " FOR NO KEY UPDATE SKIP LOCKED))",
    "sqlite": "IN (SELECT id FROM credentials_credential WHERE {condition} LIMIT %s)",
}


def claim_grant(
    *,
    id: uuid.UUID,
    generation: int,
    actor: Actor,
    stale: Q,
    lease_seconds: int = SHORTEST_LEASE,
) -> RefreshClaim | None:
    """Claim the grant of this generation, if `stale` still holds and no process has its lease.

    The same statement counts the attempt: its outcome is unknown until one is stored. If this
    process dies, the grant is claimed again after `lease_seconds` (schedule.compute_lease_seconds).
    """
    owner = create_owner_id()
    rows = Credential.objects.filter(
        NOT_LEASED, NOT_ENDED, NOT_WAITING, stale, id=id, generation=generation
    )
    with transaction.atomic():
        if not rows.update(
            lease_owner=owner,
            lease_until=DbNow() + dt.timedelta(seconds=lease_seconds),
            lease_renewed_at=DbNow(),
            refresh_unknowns=F("refresh_unknowns") + 1,
        ):
            return None
        claimed = Credential.objects.filter(id=id, lease_owner=owner).annotate(now=DbNow())
        claimed = claimed.select_related("oauth_app__refresh_pause").defer("metadata", "health")
        row = claimed.get()
        return RefreshClaim(
            row=row, owner=owner, claimed_at=row.now, actor=actor, lease_seconds=lease_seconds
        )


def claim_due_grants(
    app_id: uuid.UUID,
    limit: int,
    *,
    actor: Actor,
    lease_seconds: int = SHORTEST_LEASE,
    only_in_doubt: bool = False,
) -> list[RefreshClaim]:
    """Claim at most `limit` due grants of this app, the longest due first, unless it is paused.

    With `only_in_doubt`, only those whose last attempt has an unknown outcome.

    Rows that another process is claiming at the same time are skipped without waiting.
    """
    condition = _DUE_IN_DOUBT if only_in_doubt else _DUE
    return _claim_rows(condition, [dialect.adapt(app_id), limit], actor, lease_seconds)


def claim_abandoned_grants(limit: int, *, actor: Actor) -> list[RefreshClaim]:
    """Claim at most `limit` grants whose lease has expired, the oldest lease first."""
    return _claim_rows(_ABANDONED, [limit], actor, SHORTEST_LEASE)


def extend_lease(claim: RefreshClaim) -> bool:
    """Renew the lease while its process lives. Return False if it was lost.

    It lasts `lease_seconds` since the claim. After that it ends as soon as the process must have died.
    """
    # A stated grace counts from the request, so nothing may wait longer than to notice the death.
    least = SILENT_SECONDS if claim.grace_seconds else SHORTEST_LEASE
    rest = claim.lease_seconds - (time.monotonic() - claim.start_seconds)
    duration = dt.timedelta(seconds=max(rest, least))
    rows = filter_claimed(claim)
    return bool(rows.update(lease_until=DbNow() + duration, lease_renewed_at=DbNow()))


def fit_lease(claim: RefreshClaim) -> RefreshClaim:
    """Return the claim with the lease that its provider needs, which an abandoned grant lacks."""
    seconds = get_lease_seconds(claim.row.provider)
    if claim.lease_seconds >= seconds:
        return claim
    longer = replace(claim, lease_seconds=seconds)
    extend_lease(longer)
    return longer


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


def _claim_rows(
    condition: str, params: list[Any], actor: Actor, lease_seconds: int
) -> list[RefreshClaim]:
    """Select, claim and read in one statement. The rows come without their apps."""
    owner = create_owner_id()
    sql = _build_claim_sql(condition, dialect.now_sql(), dialect.now_sql(plus=lease_seconds))
    rows: list[Any] = list(Credential.objects.raw(sql, [owner, *params]))
    return [
        RefreshClaim(
            row=row,
            owner=owner,
            claimed_at=to_datetime(row.claimed_at),
            actor=actor,
            lease_seconds=lease_seconds,
        )
        for row in rows
    ]


# Written out, because a worker runs it for every few grants.
@functools.lru_cache(maxsize=64)
def _build_claim_sql(condition: str, now: str, later: str) -> str:
    selected = dialect.choose(**_SELECTED_IDS).format(condition=condition.format(now=now))
    return f"""
        UPDATE credentials_credential
        SET lease_owner = %s, lease_until = {later}, lease_renewed_at = {now},
            refresh_unknowns = refresh_unknowns + 1
        WHERE id {selected} RETURNING {_COLUMNS}, {now} AS claimed_at
    """  # noqa: S608 - our own names and clock


def get_lease_seconds(provider_slug: str) -> int:
    """Return how long a grant of this provider is left alone if its refresher dies, in seconds."""
    provider = get_registry().get_provider(provider_slug)
    host = get_fixed_token_host(provider_slug)
    return compute_lease_seconds(
        provider.oauth.refresh if provider and provider.oauth else None,
        responds_fast=host is not None and circuit_breaker.responds_fast(f"host:{host}"),
    )
