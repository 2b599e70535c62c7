"""The lease of a grant: one conditional UPDATE by the database's clock decides who may refresh it."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
import time
import uuid
from dataclasses import replace
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Least

from common.actors import Actor
from common.db import dialect
from common.db.clock import DbNow
from common.db.ids import to_uuid
from credentials.core.grant_state import (
    ABANDONED_SQL,
    APP_PAUSED_SQL,
    DUE_AND_FREE_SQL,
    NO_LEASE,
    NOT_ENDED,
    NOT_LEASED,
    NOT_ON_HOLD,
)
from credentials.models import Credential, Grant
from credentials.refresh.circuit_breaker import circuit_breaker
from credentials.refresh.schedule import (
    SHORTEST_GRACE_LEASE,
    SHORTEST_LEASE,
    compute_lease_seconds,
    compute_lease_within_grace,
)
from credentials.refresh.types import RefreshClaim
from credentials.restore.holds import NOT_WAITING, NOT_WAITING_SQL
from oauth_apps.client_config import get_fixed_token_host
from providers.registry import get_registry

_NOT_PAUSED: Final = f"""NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id
        WHERE app.id = credentials_grant.oauth_app_id AND {APP_PAUSED_SQL}
    )"""  # noqa: S608 - our own names
_DUE_OF_APP: Final = (
    f"oauth_app_id = %s AND {DUE_AND_FREE_SQL} AND {_NOT_PAUSED} AND {NOT_WAITING_SQL}"
)
_DUE: Final = f"{_DUE_OF_APP} ORDER BY next_at"
_DUE_IN_DOUBT: Final = f"{_DUE_OF_APP} AND unknowns > 0 ORDER BY next_at"
_ABANDONED: Final = f"{ABANDONED_SQL} AND {NOT_WAITING_SQL} ORDER BY lease_until"
# An array is built once. A join with a limited subquery could run it again and claim more rows.
_SELECTED_IDS: Final = {
    "postgresql": "= ANY (ARRAY(SELECT id FROM credentials_grant WHERE {condition} LIMIT %s"
    " FOR NO KEY UPDATE SKIP LOCKED))",
    "sqlite": "IN (SELECT id FROM credentials_grant WHERE {condition} LIMIT %s)",
}


def claim_grant(
    *,
    row: Credential,
    actor: Actor,
    stale: Q,
    lease_seconds: int = SHORTEST_LEASE,
) -> RefreshClaim | None:
    """Claim the grant that `row` was read with.

    Returns None if it has another generation by now, if the credential is no longer `stale`, or if
    another process has the lease.

    A lease that has expired is the attempt of a process that died: the same statement counts it as
    one of unknown outcome. If this process dies, the grant is claimed again after `lease_seconds`
    (schedule.compute_lease_seconds).
    """
    assert row.grant is not None  # noqa: S101 - for the type checker: the caller read it
    owner = create_owner_id()
    grants = Grant.objects.filter(
        NOT_LEASED,
        NOT_ENDED,
        NOT_ON_HOLD,
        NOT_WAITING,
        id=row.grant.id,
        generation=row.grant.generation,
    )
    if stale:
        grants = grants.filter(
            Exists(Credential.objects.filter(stale, id=row.id, grant_id=OuterRef("id")))
        )
    abandoned = Case(When(lease_until__isnull=False, then=Value(1)), default=Value(0))
    with transaction.atomic():
        if not grants.update(
            lease_owner=owner,
            lease_until=DbNow() + dt.timedelta(seconds=lease_seconds),
            lease_renewed_at=DbNow(),
            unknowns=F("unknowns") + abandoned,
            in_doubt_since=Coalesce("in_doubt_since", DbNow()),
            # A leased grant is due, so that it is found if this process dies.
            next_at=Least(Coalesce("next_at", DbNow()), DbNow()),
        ):
            return None
        claimed = Credential.objects.filter(id=row.id, grant__lease_owner=owner)
        claimed = claimed.select_related("grant", "oauth_app__refresh_pause").annotate(now=DbNow())
        claimed_row = claimed.defer("metadata", "health").get()
        return RefreshClaim(
            row=claimed_row,
            owner=owner,
            claimed_at=claimed_row.now,
            actor=actor,
            lease_seconds=lease_seconds,
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
    # Before the request is sent, `fit_lease` gives each the lease that its provider needs.
    return _claim_rows(_ABANDONED, [limit], actor, SHORTEST_GRACE_LEASE)


def extend_lease(claim: RefreshClaim) -> bool:
    """Renew the lease while its process lives. Return False if it was lost.

    It lasts `lease_seconds` since the claim. After that it ends as soon as the process must have died.
    """
    # A stated grace counts from the request, so nothing may wait longer than to notice the death.
    least = SHORTEST_GRACE_LEASE if claim.grace_seconds else SHORTEST_LEASE
    least = min(least, claim.lease_seconds)
    rest = claim.lease_seconds - (time.monotonic() - claim.start_seconds)
    duration = dt.timedelta(seconds=max(rest, least))
    rows = filter_claimed(claim)
    return bool(rows.update(lease_until=DbNow() + duration, lease_renewed_at=DbNow()))


def fit_lease(claim: RefreshClaim) -> RefreshClaim:
    """Return the claim with the lease that its provider needs.

    A claim of an abandoned grant may lack it, and that of a grant in doubt must end in its grace.
    """
    seconds = max(get_lease_seconds(claim.row.provider), claim.lease_seconds)
    if claim.grace_seconds:
        seconds = compute_lease_within_grace(seconds, claim.grace_seconds, claim.seconds_in_doubt)
    if claim.lease_seconds == seconds:
        return claim
    fitted = replace(claim, lease_seconds=seconds)
    extend_lease(fitted)
    return fitted


def filter_claimed(claim: RefreshClaim) -> QuerySet[Grant]:
    """Return the grant, if its generation and owner are still the claim's, or no row."""
    return Grant.objects.filter(
        id=claim.grant.id, generation=claim.generation, lease_owner=claim.owner
    )


def release_lease(claim: RefreshClaim) -> None:
    """Release the grant for a new generation that came without ending this lease (a rotation)."""
    grants = Grant.objects.filter(id=claim.grant.id, lease_owner=claim.owner)
    grants.update(**NO_LEASE)


def create_owner_id() -> str:
    """Return an owner that is unique for each claim, so that it also fences off older claims."""
    return secrets.token_hex(16)


def _claim_rows(
    condition: str, params: list[Any], actor: Actor, lease_seconds: int
) -> list[RefreshClaim]:
    """Claim the grants by one statement, and read their credentials. These come without their apps."""
    owner = create_owner_id()
    sql = _build_claim_sql(condition, dialect.now_sql(), dialect.now_sql(plus=lease_seconds))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [owner, *params])
        grant_ids = [to_uuid(id) for (id,) in cursor.fetchall()]
        if not grant_ids:
            return []
        rows = Credential.objects.filter(grant_id__in=grant_ids).select_related("grant")
        rows = rows.annotate(claimed_at=DbNow()).defer("metadata", "health").order_by("-id")
        # Of several credentials that share a grant, the oldest stands for all.
        by_grant = {row.grant_id: row for row in rows}
    return [
        RefreshClaim(
            row=row,
            owner=owner,
            claimed_at=row.claimed_at,
            actor=actor,
            lease_seconds=lease_seconds,
        )
        for row in by_grant.values()
    ]


# Written out, because a worker runs it for every few grants.
@functools.lru_cache(maxsize=64)
def _build_claim_sql(condition: str, now: str, later: str) -> str:
    selected = dialect.choose(**_SELECTED_IDS).format(condition=condition.format(now=now))
    # Claimed grants are due, so `next_at` stays as it is.
    return f"""
        UPDATE credentials_grant
        SET lease_owner = %s, lease_until = {later}, lease_renewed_at = {now},
            unknowns = unknowns + CASE WHEN lease_until IS NULL THEN 0 ELSE 1 END,
            in_doubt_since = COALESCE(in_doubt_since, {now})
        WHERE id {selected} RETURNING id
    """  # noqa: S608 - our own names and clock


def get_lease_seconds(provider_slug: str) -> int:
    """Return how long a grant of this provider is left alone if its refresher dies, in seconds."""
    provider = get_registry().get_provider(provider_slug)
    host = get_fixed_token_host(provider_slug)
    return compute_lease_seconds(
        provider.oauth.refresh if provider and provider.oauth else None,
        responds_fast=host is not None and circuit_breaker.responds_fast(f"host:{host}"),
    )
