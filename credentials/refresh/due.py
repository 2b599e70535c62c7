"""What the worker refreshes: grants whose time has come, and those whose refresher died."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections import Counter
from typing import Any, Final, NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError
from django.db.models import Exists, F, Min, OuterRef, Q, Subquery

from common.callers import Actor
from common.clock import DbNow
from common.errors import Problem
from credentials.models import AppPause, Credential
from credentials.refresh import attempt, lease, spool
from credentials.refresh.limits import PER_APP, PER_HOST, limits
from credentials.refresh.shapes import Claim
from oauth_apps.clients import fixed_token_host
from oauth_apps.models import OAuthApp

log = structlog.get_logger(__name__)

WORKER: Final = Actor(name="worker")
_DUE: Final = Q(refresh_next_at__lte=DbNow())
_ABANDONED: Final = Q(lease_until__lt=DbNow())


class _App(NamedTuple):
    """An OAuth app that has due grants."""

    id: uuid.UUID
    account_id: uuid.UUID
    provider: str


class Refreshes:
    """A source of the worker (config/worker): fair between accounts, providers and apps."""

    name = "refreshes"

    def __init__(self) -> None:
        self._running: Counter[Any] = Counter()
        self._lock = threading.Lock()

    def claim(self, owner: str, limit: int) -> list[Claim]:
        """At most `limit` claims: abandoned ones first, as grace periods are short; then due ones."""
        spool.replay_all()
        ids = self._abandoned(limit)
        claims = lease.take_many(ids, actor=WORKER, stale=_ABANDONED) if ids else []
        if len(claims) < limit and (ids := self._due(limit - len(claims))):
            claims += lease.take_many(ids, actor=WORKER, stale=_DUE)
        with self._lock:
            for claim in claims:
                self._running.update(_keys_of(claim))
        return claims

    def run(self, claim: Claim) -> None:
        """Refresh it. What the outside world does wrong is written down, and raises nothing."""
        try:
            attempt.run(claim)
        except Problem as problem:
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

    def _abandoned(self, limit: int) -> list[uuid.UUID]:
        rows = Credential.objects.filter(_ABANDONED, lease.REFRESHABLE).order_by("lease_until")
        return list(rows.values_list("id", flat=True)[:limit])

    def _due(self, limit: int) -> list[uuid.UUID]:
        """The longest due of each app that gets a turn."""
        ids: list[uuid.UUID] = []
        for app_id, turns in self._turns(limit).items():
            rows = Credential.objects.filter(
                _DUE, lease.FREE, lease.REFRESHABLE, oauth_app_id=app_id
            )
            ids += rows.order_by("refresh_next_at").values_list("id", flat=True)[:turns]
        return ids

    def _turns(self, limit: int) -> Counter[uuid.UUID]:
        """How many of the next `limit` calls each app gets.

        Each goes to the account that has the fewest under way, within it to such a provider, and
        so to such an app, as long as app and host have room.
        """
        apps = _apps_with_due_grants()
        with self._lock:
            load = Counter(self._running)
        turns: Counter[uuid.UUID] = Counter()
        room = {key: limits.room(key, most) for app in apps for key, most in _gates(app)}
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
    host = fixed_token_host(app.provider)
    gates = [(f"app:{app.id}", PER_APP)]
    return [*gates, (f"host:{host}", PER_HOST)] if host else gates


def _keys(app_id: Any, account_id: uuid.UUID, provider: str) -> tuple[Any, ...]:
    """What a call counts for: its app, its provider within the account, its account."""
    return ("app", app_id), ("provider", account_id, provider), ("account", account_id)


def _keys_of(claim: Claim) -> tuple[Any, ...]:
    return _keys(claim.row.oauth_app_id, claim.row.account_id, claim.row.provider)


def _apps_with_due_grants() -> list[_App]:
    """One look into an index for each app, however many grants are due."""
    due = Credential.objects.filter(
        _DUE, lease.FREE, lease.REFRESHABLE, oauth_app_id=OuterRef("id")
    )
    paused = AppPause.objects.filter(
        oauth_app_id=OuterRef("id"), revision=F("oauth_app__revision"), until__gt=DbNow()
    )
    apps = OAuthApp.objects.filter(Exists(due)).exclude(Exists(paused))
    return [_App(*app) for app in apps.values_list("id", "account_id", "provider")]


SOURCE: Final = Refreshes()
