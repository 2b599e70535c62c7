"""Refreshes by the worker: of grants that are due, and of those whose process died during a refresh."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections import Counter
from typing import Any, Final, NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Min

from common.actors import Actor
from common.db import dialect
from common.db.ids import to_uuid
from common.errors import ServiceError
from common.periodic_tasks import PeriodicTask
from credentials.core.grant_state import ABANDONED_SQL, APP_PAUSED_SQL, DUE_AND_FREE_SQL
from credentials.models import Grant
from credentials.refresh import attempt, lease, spool
from credentials.refresh.app_cache import AppCache
from credentials.refresh.circuit_breaker import (
    MAX_CALLS_PER_APP,
    MAX_CALLS_PER_HOST,
    circuit_breaker,
)
from credentials.refresh.restored_database import require_current_database
from credentials.refresh.types import RefreshClaim
from credentials.refresh.unreadable_responses import delete_obsolete_responses
from oauth_apps.client_config import get_fixed_token_host

log = structlog.get_logger(__name__)

WORKER_ACTOR: Final = Actor(name="worker")

WORKER_PATIENCE: Final = 2.0
"""Seconds until a worker's thread leaves a request to itself and takes up other work."""


_DUE_APPS: Final = f"""
    SELECT app.id, app.account_id, app.provider FROM oauth_apps_oauthapp app
    WHERE EXISTS (
        SELECT 1 FROM credentials_grant
        WHERE oauth_app_id = app.id AND {DUE_AND_FREE_SQL}
    ) AND NOT EXISTS (
        SELECT 1 FROM credentials_apppause pause
        WHERE pause.oauth_app_id = app.id AND {APP_PAUSED_SQL}
    )
"""  # noqa: S608 - our own names
_ANY_ABANDONED: Final = f"SELECT 1 FROM credentials_grant WHERE {ABANDONED_SQL} LIMIT 1"  # noqa: S608

_LoadKey = tuple[Any, ...]


class _App(NamedTuple):
    """An OAuth app that has due grants."""

    id: uuid.UUID
    account_id: uuid.UUID
    provider: str

    def get_circuits(self) -> dict[str, int]:
        """Return the circuits of a call with their limits, as far as they are known without its row."""
        circuits = {f"app:{self.id}": MAX_CALLS_PER_APP}
        if host := get_fixed_token_host(self.provider):
            circuits[f"host:{host}"] = MAX_CALLS_PER_HOST
        return circuits


class RefreshTask:
    """A task of the worker (config/worker) that is fair between accounts, providers and apps."""

    name = "refreshes"

    def __init__(self) -> None:
        self._running: Counter[_LoadKey] = Counter()
        self._lock = threading.Lock()
        self._apps = AppCache()

    def claim(self, owner: str, limit: int) -> list[RefreshClaim]:
        """Claim at most `limit` grants: abandoned ones first, as grace periods are short."""
        spool.replay_all()
        # Looked up first: on SQLite, even a claim of no row would wait for the only writer.
        apps = [
            _App(to_uuid(id), to_uuid(account_id), provider)
            for id, account_id, provider in _fetch(_DUE_APPS)
        ]
        abandoned, shares = bool(_fetch(_ANY_ABANDONED)), self._share_slots(apps, limit)
        if not abandoned and not apps:
            return []
        require_current_database()
        providers = {app.id: app.provider for app in apps}
        # One transaction: a claim that this process never learns of would block its row.
        with transaction.atomic():
            claims = lease.claim_abandoned_grants(limit, actor=WORKER_ACTOR) if abandoned else []
            for app_id, share in shares.items():
                if count := min(share, limit - len(claims)):
                    claims += lease.claim_due_grants(
                        app_id,
                        count,
                        actor=WORKER_ACTOR,
                        lease_seconds=lease.get_lease_seconds(providers[app_id]),
                    )
            for app in apps:
                if app.id not in shares and len(claims) < limit:
                    # The grace of a lost response does not wait for a circuit to close.
                    claims += lease.claim_due_grants(
                        app.id,
                        limit - len(claims),
                        actor=WORKER_ACTOR,
                        lease_seconds=lease.get_lease_seconds(app.provider),
                        only_in_doubt=True,
                    )
            self._apps.attach_apps(claims)
        with self._lock:
            for claim in claims:
                self._running.update(_get_claim_keys(claim))
        return claims

    def run(self, claim: RefreshClaim) -> None:
        """Refresh the grant. Failures of providers are stored, and raise nothing."""
        try:
            attempt.run_attempt(claim, patience=WORKER_PATIENCE)
        except ServiceError as error:
            log.info("refresh.failed", id=str(claim.row.id), code=error.extra.get("code"))
        except (DatabaseError, InterfaceError) as error:
            # The lease expires, and the attempt counts as one of unknown outcome.
            log.warning("refresh.unwritten", id=str(claim.row.id), error=type(error).__name__)
        finally:
            with self._lock:
                self._running.subtract(_get_claim_keys(claim))
                self._running += Counter()  # Removes the keys that have fallen to 0.

    def next_due(self) -> dt.datetime | None:
        """Return when the next grant is due, None if there is none."""
        rows = Grant.objects.filter(oauth_app_id__isnull=False, on_hold=False)
        next_at: dt.datetime | None = rows.aggregate(at=Min("next_at"))["at"]
        return next_at

    def _share_slots(self, apps: list[_App], limit: int) -> Counter[uuid.UUID]:
        """Return how many of the next `limit` calls each app gets.

        Each call goes to the account with the fewest running calls, within it to the provider and
        then to the app with the fewest, as long as the circuits have free slots.
        """
        with self._lock:
            load = Counter(self._running)
        shares: Counter[uuid.UUID] = Counter()
        circuits_by_app = {app: app.get_circuits() for app in apps}
        free_slots = {
            key: circuit_breaker.count_free_slots(key, most)
            for circuits in circuits_by_app.values()
            for key, most in circuits.items()
        }
        for _ in range(limit):
            free = [app for app in apps if all(free_slots[key] > 0 for key in circuits_by_app[app])]
            if not free:
                break
            app = min(free, key=lambda app: [load[key] for key in reversed(_get_keys(*app))])
            shares[app.id] += 1
            load.update(_get_keys(*app))
            for key in circuits_by_app[app]:
                free_slots[key] -= 1
        return shares


def _get_keys(app_id: object, account_id: uuid.UUID, provider: str) -> tuple[_LoadKey, ...]:
    """Return what a call counts for: its app, its provider within the account, its account."""
    return ("app", app_id), ("provider", account_id, provider), ("account", account_id)


def _get_claim_keys(claim: RefreshClaim) -> tuple[_LoadKey, ...]:
    return _get_keys(claim.row.oauth_app_id, claim.row.account_id, claim.row.provider)


def _fetch(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(now=dialect.now_sql()), [])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


REFRESH_TASK: Final = RefreshTask()
RESPONSE_PRUNING: Final = PeriodicTask(
    "unreadable responses", every=3600, run_batch=delete_obsolete_responses
)
