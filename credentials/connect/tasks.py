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
from credentials.connect.authorization_attempts import FORGOTTEN_AFTER, attempts_lapse
from credentials.connect.links import LIVE, link_lapse
from credentials.connect.models import AuthorizationAttempt as Attempt
from credentials.connect.models import ConnectLink, PendingGrant
from credentials.connect.pending_grants import grant_lapse, grant_postpone
from vault.sealing import SecretUnavailable

ACTOR: Final = Actor(name="worker")
KEPT: Final = dt.timedelta(days=90)
"""How long attempts that had an outcome are kept for staff to look at."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One row whose time is over. Whoever changes it first has it: nothing is leased."""

    table: str
    id: uuid.UUID


class Lapses:
    """A source of the worker (config/worker)."""

    name = "connect"

    def claim(self, owner: str, limit: int) -> list[Claim]:
        """At most `limit` rows that are over. Attempts end here at once, many in one statement."""
        attempts_lapse(kept=KEPT)
        late = {"expires_at__lte": DbNow()}
        grants = PendingGrant.objects.filter(**late).order_by("expires_at")
        links = ConnectLink.objects.filter(status__in=LIVE, **late).order_by("expires_at")
        found = [Claim("grant", id) for id in grants.values_list("id", flat=True)[:limit]]
        rest = limit - len(found)
        return found + [Claim("link", id) for id in links.values_list("id", flat=True)[:rest]]

    def run(self, claim: Claim) -> None:
        """End it. A grant whose seal does not open waits for its key, an hour at a time for a week."""
        if claim.table == "link":
            link_lapse(id=claim.id, actor=ACTOR)
            return
        try:
            grant_lapse(id=claim.id, actor=ACTOR)
        except SecretUnavailable:
            grant_postpone(id=claim.id)

    def next_due(self) -> dt.datetime | None:
        """When the next row is over, at the earliest; None while nothing is under way."""
        rows = (
            PendingGrant.objects.all(),
            ConnectLink.objects.filter(status__in=LIVE),
            Attempt.objects.filter(status__in=[Attempt.Status.READY, Attempt.Status.WAITING]),
        )
        times = [each.aggregate(first=Min("expires_at"))["first"] for each in rows]
        expired = Attempt.objects.filter(status=Attempt.Status.EXPIRED)
        last = expired.aggregate(first=Min("expires_at"))["first"]
        times.append(last and last + FORGOTTEN_AFTER)
        known = [time for time in times if time is not None]
        return max(min(known), db_now()) if known else None


SOURCE: Final = Lapses()
