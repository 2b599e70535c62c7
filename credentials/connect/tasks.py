"""The worker's task that expires pending grants, connect links and authorization attempts.

It waits for no provider: the revocation of a grant is another task.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Final

from django.db.models import Min

from common.actors import Actor
from common.db.clock import DbNow, db_now
from credentials.connect.authorization_attempts import (
    EXPIRED_RETENTION,
    attempts_expire,
    get_ended_sealed_attempts,
)
from credentials.connect.links import ACTIVE_STATUSES, link_expire
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.pending_grants import grant_expire, grant_reschedule
from vault.sealing import SecretUnavailableError

ACTOR: Final = Actor(name="worker")
ATTEMPT_RETENTION: Final = dt.timedelta(days=90)
"""The time for which staff can look at attempts that had an outcome."""


@dataclass(frozen=True, slots=True)
class ExpiredRow:
    """An expired grant or link. It needs no lease: the conditional UPDATE that ends it decides."""

    table: str
    id: uuid.UUID


class ExpireTask:
    """A task of the worker (config/worker/tasks.py)."""

    name = "connect"

    def claim(self, owner: str, limit: int) -> list[ExpiredRow]:
        """Return at most `limit` expired grants and links. Ends all expired attempts."""
        attempts_expire(retention=ATTEMPT_RETENTION)
        grants = PendingGrant.objects.filter(expires_at__lte=DbNow())
        links = ConnectLink.objects.filter(status__in=ACTIVE_STATUSES, expires_at__lte=DbNow())
        grant_ids = grants.order_by("expires_at").values_list("id", flat=True)[:limit]
        rows = [ExpiredRow("grant", id) for id in grant_ids]
        link_ids = links.order_by("expires_at").values_list("id", flat=True)[: limit - len(rows)]
        return rows + [ExpiredRow("link", id) for id in link_ids]

    def run(self, claim: ExpiredRow) -> None:
        """Expire the row; a grant whose key is missing is tried again every hour for a week."""
        if claim.table == "link":
            link_expire(id=claim.id, actor=ACTOR)
            return
        try:
            grant_expire(id=claim.id, actor=ACTOR)
        except SecretUnavailableError:
            grant_reschedule(id=claim.id)

    def next_due(self) -> dt.datetime | None:
        """Return when the next row expires, never a time in the past; None without any row."""
        rows = (
            PendingGrant.objects.all(),
            ConnectLink.objects.filter(status__in=ACTIVE_STATUSES),
            Attempt.objects.filter(status__in=[Attempt.Status.READY, Attempt.Status.WAITING]),
        )
        times = [each.aggregate(first=Min("expires_at"))["first"] for each in rows]
        # Expired attempts are deleted later, and what is sealed on the others is cleared. Nothing
        # else would wake the worker for it.
        expired = Attempt.objects.filter(status=Attempt.Status.EXPIRED)
        for ended in (expired, get_ended_sealed_attempts()):
            first = ended.aggregate(first=Min("expires_at"))["first"]
            times.append(first and first + EXPIRED_RETENTION)
        known = [time for time in times if time is not None]
        return max(min(known), db_now()) if known else None


EXPIRE_TASK: Final = ExpireTask()
