"""Who may refresh a grant now: one conditional UPDATE decides, by the database's clock."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from collections.abc import Iterable
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q, QuerySet

from common.callers import Actor
from common.clock import DbNow
from credentials.models import Credential
from credentials.refresh.shapes import NEEDS_REAUTH, Claim

LEASE: Final = dt.timedelta(seconds=20)
"""Longer than a call may take (12 s), shorter than the grace periods of most providers."""

FREE: Final = Q(lease_until__isnull=True) | Q(lease_until__lt=DbNow())
REFRESHABLE: Final = ~Q(refresh_state=NEEDS_REAUTH)


def take(*, id: uuid.UUID, generation: int, actor: Actor, stale: Q) -> Claim | None:
    """Claim the grant of this generation, if `stale` still holds of it and nobody else has it.

    The same statement notes the attempt: from here on its outcome is unknown until it is written.
    """
    owner = new_owner()
    rows = Credential.objects.filter(FREE, REFRESHABLE, stale, id=id, generation=generation)
    with transaction.atomic():
        if not rows.update(**_taken(owner)):
            return None
        return _claims([id], owner, actor)[0]


def take_many(ids: Iterable[uuid.UUID], *, actor: Actor, stale: Q) -> list[Claim]:
    """Claim those of `ids` of which `stale` holds and which nobody has, in one short transaction.

    Rows that another process is claiming at this moment are left to it, without waiting.
    """
    owner = new_owner()
    rows = Credential.objects.filter(FREE, REFRESHABLE, stale, id__in=list(ids))
    with transaction.atomic():
        locked = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
        free = list(locked.values_list("id", flat=True))
        if not free:
            return []
        Credential.objects.filter(id__in=free).update(**_taken(owner))
        # Within the transaction: a claim that nobody got to know of must not stand.
        return _claims(free, owner, actor)


def renew(claim: Claim) -> bool:
    """Another whole lease for the second call of one attempt; False if it was lost meanwhile."""
    return bool(held(claim).update(lease_until=DbNow() + LEASE))


def held(claim: Claim) -> QuerySet[Credential]:
    """The claim's row, if generation and owner are still the claim's: what every outcome compares."""
    return Credential.objects.filter(
        id=claim.row.id, generation=claim.generation, lease_owner=claim.owner
    )


def release(claim: Claim) -> None:
    """Free the row for its new generation, where another grant came without ending our lease."""
    rows = Credential.objects.filter(id=claim.row.id, lease_owner=claim.owner)
    rows.update(lease_owner="", lease_until=None)


def new_owner() -> str:
    """Unique for each claim, so that it also fences: an older claim's outcome finds another owner."""
    return secrets.token_hex(16)


def _taken(owner: str) -> dict[str, Any]:
    return {
        "lease_owner": owner,
        "lease_until": DbNow() + LEASE,
        "refresh_unknowns": F("refresh_unknowns") + 1,
    }


def _claims(ids: list[uuid.UUID], owner: str, actor: Actor) -> list[Claim]:
    rows = Credential.objects.filter(id__in=ids, lease_owner=owner).annotate(now=DbNow())
    rows = rows.select_related("oauth_app__refresh_pause").defer("metadata", "health")
    return [Claim(row=row, owner=owner, claimed_at=row.now, actor=actor) for row in rows]
