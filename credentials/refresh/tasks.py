"""What the worker refreshes: grants whose time has come, and those whose refresher died."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections import Counter
from typing import Any, Final, NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Min, OuterRef, Subquery

from common.actors import Actor
from common.db import dialect
from common.db.ids import to_uuid
from common.errors import ServiceError
from credentials.core.grant_state import APP_PAUSED_SQL, DUE_AND_FREE_SQL, NOT_ENDED_SQL
from credentials.models import Credential
from credentials.refresh import attempt, lease, spool
from credentials.refresh.app_cache import AppCache
from credentials.refresh.circuit_breaker import (
    MAX_CALLS_PER_APP,
    MAX_CALLS_PER_HOST,
    circuit_breaker,
)
from credentials.refresh.types import RefreshClaim
from oauth_apps.client_config import get_fixed_token_host
from oauth_apps.models import OAuthApp

log = structlog.get_logger(__name__)

WORKER_ACTOR: Final = Actor(name="worker")


class _App(NamedTuple):
    """An OAuth app that has due grants."""

    id: uuid.UUID
    account_id: uuid.UUID
    provider: str


class RefreshTask:
    """A source of the worker (config/worker): fair between accounts, providers and apps."""

    name = "refreshes"

    def __init__(self) -> None:
        self._running: Counter[Any] = Counter()
        self._lock = threading.Lock()
        self._apps = AppCache()

    def claim(self, owner: str, limit: int) -> list[RefreshClaim]:
        """At most `limit` claims: abandoned ones first, as grace periods are short; then due ones."""
        spool.replay_all()
        abandoned, turns = _any_abandoned(), self._turns(limit)
        if not abandoned and not turns:
            return []
        # All or none: a claim that nobody got to know of must not stand.
        with transaction.atomic():
            claims = lease.claim_abandoned_grants(limit, actor=WORKER_ACTOR) if abandoned else []
            for app_id, turn in turns.items():
                if room := min(turn, limit - len(claims)):
                    claims += lease.claim_due_grants(app_id, room, actor=WORKER_ACTOR)
            self._apps.attach_apps(claims)
        with self._lock:
            for claim in claims:
                self._running.update(_keys_of(claim))
        return claims

    def run(self, claim: RefreshClaim) -> None:
        """Refresh it. What the outside world does wrong is written down, and raises nothing."""
        try:
            attempt.run_attempt(claim)
        except ServiceError as problem:
            log.info("refresh.failed", id=str(claim.row.id), code=problem.extra.get("code"))
        except (DatabaseError, InterfaceError) as error:
            # The lease ends by itself, and the attempt counts as one of unknown outcome.
            log.warning("refresh.unwritten", id=str(claim.row.id), error=type(error).__name__)
        finally:
            with self._lock:
                self._running.subtract(_keys_of(claim))
                self._running += Counter()  # Forgets those that are at nothing.

    def next_due(self) -> dt.datetime | None:
        """When the next grant is due."""
        rows = Credential.objects.filter(oauth_app_id=OuterRef("id"), refresh_next_at__isnull=False)
        first = rows.order_by("refresh_next_at").values("refresh_next_at")[:1]
        found: dt.datetime | None = OAuthApp.objects.aggregate(first=Min(Subquery(first)))["first"]
        return found

    def _turns(self, limit: int) -> Counter[uuid.UUID]:
        """How many of the next `limit` calls each app gets.

        Each goes to the account that has the fewest under way, within it to such a provider, and
        so to such an app, as long as app and host have room.
        """
        apps = _apps_with_due_grants()
        with self._lock:
            load = Counter(self._running)
        turns: Counter[uuid.UUID] = Counter()
        room = {
            key: circuit_breaker.count_free_slots(key, most)
            for app in apps
            for key, most in _gates(app)
        }
        for _ in range(limit):
            open_apps = [app for app in apps if all(room[key] > 0 for key, _ in _gates(app))]
            if not open_apps:
                break
            app = min(open_apps, key=lambda app: [load[key] for key in reversed(_keys(*app))])
            turns[app.id] += 1
            load.update(_keys(*app))
            room.update({key: room[key] - 1 for key, _ in _gates(app)})
        return turns


def _gates(app: _App) -> list[tuple[str, int]]:
    """The gates that a call of this app goes through, as far as they are known without its row."""
    host = get_fixed_token_host(app.provider)
    gates = [(f"app:{app.id}", MAX_CALLS_PER_APP)]
    return [*gates, (f"host:{host}", MAX_CALLS_PER_HOST)] if host else gates


def _keys(app_id: Any, account_id: uuid.UUID, provider: str) -> tuple[Any, ...]:
    """What a call counts for: its app, its provider within the account, its account."""
    return ("app", app_id), ("provider", account_id, provider), ("account", account_id)


def _keys_of(claim: RefreshClaim) -> tuple[Any, ...]:
    return _keys(claim.row.oauth_app_id, claim.row.account_id, claim.row.provider)


_DUE_APPS: Final = f"""
    SELECT app.id, app.account_id, app.provider FROM oauth_apps_oauthapp app
    WHERE EXISTS (
        SELECT 1 FROM credentials_credential
        WHERE oauth_app_id = app.id AND {DUE_AND_FREE_SQL}
    ) AND NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        WHERE pause.oauth_app_id = app.id AND {APP_PAUSED_SQL}
    )
"""  # noqa: S608 - our own names
_ANY_ABANDONED: Final = f"""
    SELECT 1 FROM credentials_credential
    WHERE lease_until < {{now}} AND {NOT_ENDED_SQL} LIMIT 1
"""  # noqa: S608 - our own names


def _apps_with_due_grants() -> list[_App]:
    """One look into an index for each app, however many grants are due."""
    return [
        _App(to_uuid(id), to_uuid(account_id), provider)
        for id, account_id, provider in _fetched(_DUE_APPS)
    ]


def _any_abandoned() -> bool:
    """Asked before, because to claim nothing would still wait for SQLite's only writer."""
    return bool(_fetched(_ANY_ABANDONED))


def _fetched(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(now=dialect.now_sql()), [])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


REFRESH_TASK: Final = RefreshTask()
