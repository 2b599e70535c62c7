"""The state of a grant's refreshes as the API shows it: one expression for rows and for filters."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CharField, Expression, Q, QuerySet
from django.db.models.sql.compiler import SQLCompiler

from common.db import dialect
from common.db.clock import DbNow, db_now
from credentials.core.grant_state import ACTIVE, APP_PAUSED_SQL, NEEDS_REAUTH, PAUSED, is_leased
from credentials.models import AppPause, Credential, Grant
from providers.registry import get_registry

HOLD: Final = "hold"
REFRESH_STATES: Final = ("fresh", "due", "refreshing", "in_doubt", NEEDS_REAUTH, PAUSED, HOLD)

SILENT_SECONDS: Final = 15
"""A process that refreshes a grant renews its lease each 4 s: after this time it has died."""

# In doubt: a process died during a refresh, or no response came, so its outcome is unknown.
# Due: the access token has expired, the worker is to get another, or there has been none yet.
_STATE: Final = """CASE
    WHEN {grant}.id IS NULL THEN NULL
    WHEN {grant}.on_hold THEN 'hold'
    WHEN {grant}.state <> 'active' THEN {grant}.state
    WHEN {app_is_paused} THEN 'paused'
    WHEN {grant}.lease_until >= {now} AND {grant}.lease_renewed_at >= {recently} THEN 'refreshing'
    WHEN {grant}.lease_until IS NOT NULL OR {grant}.unknowns > 0 THEN 'in_doubt'
    WHEN {row}.expires_at IS NULL AND {grant}.last_at IS NULL AND {grant}.failures > 0 THEN 'due'
    WHEN coalesce({row}.expires_at <= {now}, {grant}.next_at <= {now}, {row}.secrets IS NULL)
        THEN 'due'
    ELSE 'fresh' END"""
_PAUSE_EXISTS: Final = f"""EXISTS (
    SELECT 1 FROM credentials_apppause pause
    JOIN oauth_apps_oauthapp app ON app.id = pause.oauth_app_id
    WHERE pause.oauth_app_id = credentials_credential.oauth_app_id AND {APP_PAUSED_SQL})"""  # noqa: S608
GRANT: Final = "credentials_grant"
"""The table, whose name is its alias in the statements that have the state."""


def build_state_sql(app_is_paused: str) -> str:
    """Return the expression of the state. `app_is_paused` is the condition that its app is paused."""
    now, recently = dialect.now_sql(), dialect.now_sql(plus=-SILENT_SECONDS)
    return _STATE.format(
        row="credentials_credential",
        grant=GRANT,
        app_is_paused=app_is_paused.format(now=now),
        now=now,
        recently=recently,
    )


def is_in_doubt(grant: Grant, now: dt.datetime) -> bool:
    """Return True if the outcome of the last refresh is unknown and no process is refreshing it."""
    is_refreshing = (
        is_leased(grant, now)
        and grant.lease_renewed_at is not None
        and (now - grant.lease_renewed_at).total_seconds() <= SILENT_SECONDS
    )
    is_unknown = grant.lease_until is not None or grant.unknowns > 0
    return grant.state == ACTIVE and is_unknown and not is_refreshing


class RefreshState(Expression):
    """The state in a queryset of credentials whose filters join their grants."""

    output_field = CharField()

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        return build_state_sql(_PAUSE_EXISTS), ()


def filter_by_refresh_state(queryset: QuerySet[Credential], state: str) -> QuerySet[Credential]:
    """Return the rows of `queryset` whose `refresh.state` is `state`.

    Kinds that are not refreshed have no state.
    """
    kinds = [kind.name for kind in get_registry().kinds.values() if kind.refreshes]
    queryset = queryset.alias(state=RefreshState()).filter(state=state, kind__in=kinds)
    return queryset.filter(_build_implied_condition(state))


def _build_implied_condition(state: str) -> Q:
    """Return a condition that the state implies, of columns of the grant that have an index."""
    if state == HOLD:
        return Q(grant__on_hold=True)
    if state == NEEDS_REAUTH:
        return Q(grant__state=NEEDS_REAUTH)
    if state == PAUSED:
        # By their ids, because no index serves an OR with a subquery.
        apps = list(
            AppPause.objects.filter(until__gt=DbNow()).values_list("oauth_app_id", flat=True)
        )
        return Q(grant__state=PAUSED) | Q(grant__oauth_app_id__in=apps)
    leased = Q(grant__lease_until__isnull=False, grant__next_at__lte=db_now())
    if state == "refreshing":
        return leased
    if state == "in_doubt":
        return leased | Q(grant__unknowns__gt=0)
    return Q(grant__state=ACTIVE)
