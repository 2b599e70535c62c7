"""What lapses: the worker's source for grants that nobody took, attempts and links that nobody finished.

Nothing here waits for a provider: giving a grant back leaves a note for the revocations' source.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Final

from django.db.models import Min

from common.actors import Actor
from common.db.clock import DbNow, db_now
from credentials.connect.authorization_attempts import EXPIRED_RETENTION, attempts_expire
from credentials.connect.links import ACTIVE_STATUSES, link_expire
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.pending_grants import grant_expire, grant_reschedule
from vault.sealing import SecretUnavailableError

ACTOR: Final = Actor(name="worker")
ATTEMPT_RETENTION: Final = dt.timedelta(days=90)
"""How long attempts that had an outcome are kept for staff to look at."""


@dataclass(frozen=True, slots=True)
class ExpiredRow:
    """One row whose time is over. Whoever changes it first has it: nothing is leased."""

    table: str
    id: uuid.UUID


class ExpireTask:
    """A source of the worker (config/worker)."""

    name = "connect"

    def claim(self, owner: str, limit: int) -> list[ExpiredRow]:
        """At most `limit` rows that are over. Attempts end here at once, many in one statement."""
        attempts_expire(retention=ATTEMPT_RETENTION)
        late = {"expires_at__lte": DbNow()}
        grants = PendingGrant.objects.filter(**late).order_by("expires_at")
        links = ConnectLink.objects.filter(status__in=ACTIVE_STATUSES, **late).order_by(
            "expires_at"
        )
        found = [ExpiredRow("grant", id) for id in grants.values_list("id", flat=True)[:limit]]
        rest = limit - len(found)
        return found + [ExpiredRow("link", id) for id in links.values_list("id", flat=True)[:rest]]

    def run(self, claim: ExpiredRow) -> None:
        """End it. A grant whose seal does not open waits for its key, an hour at a time for a week."""
        if claim.table == "link":
            link_expire(id=claim.id, actor=ACTOR)
            return
        try:
            grant_expire(id=claim.id, actor=ACTOR)
        except SecretUnavailableError:
            grant_reschedule(id=claim.id)

    def next_due(self) -> dt.datetime | None:
        """When the next row is over, at the earliest; None while nothing is under way."""
        rows = (
            PendingGrant.objects.all(),
            ConnectLink.objects.filter(status__in=ACTIVE_STATUSES),
            Attempt.objects.filter(status__in=[Attempt.Status.READY, Attempt.Status.WAITING]),
        )
        times = [each.aggregate(first=Min("expires_at"))["first"] for each in rows]
        expired = Attempt.objects.filter(status=Attempt.Status.EXPIRED)
        last = expired.aggregate(first=Min("expires_at"))["first"]
        times.append(last and last + EXPIRED_RETENTION)
        known = [time for time in times if time is not None]
        return max(min(known), db_now()) if known else None


EXPIRE_TASK: Final = ExpireTask()
