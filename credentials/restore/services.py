"""Decisions of a person about the grants that wait after a restore of the database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import Count, Exists, F, QuerySet

from common.actors import Actor
from common.db.clock import DbNow
from credentials.models import Credential, Grant
from credentials.restore import recognition
from credentials.restore.models import DatabaseRestore, RestoredGrant
from events.services import NewEvent, record_events

_BATCH: Final = 500


class GrantFilter(NamedTuple):
    """Conditions that all have to hold; None: any."""

    account_id: uuid.UUID | None = None
    provider: str | None = None
    oauth_app_id: uuid.UUID | None = None
    credential_id: uuid.UUID | None = None


def restore_declare(*, restored_to: dt.datetime, every_grant: bool = False) -> None:
    """Let the grants wait that may have been refreshed since the database had its present state.

    `every_grant` lets those wait too that were not due since.
    """
    recognition.declare_restore(restored_to, every_grant=every_grant)


def grants_resume(*, actor: Actor, only: GrantFilter) -> int:
    """Refresh the waiting grants that `only` describes. Return their number.

    The worker then tries each: the provider rejects it if it was replaced.
    """
    rows = filter_waiting(only)
    count = 0
    while batch := list(rows.order_by("pk").values_list("pk", "credential__account_id")[:_BATCH]):
        named = Credential.objects.filter(id__in=[id for id, _ in batch])
        # Others that share a grant cannot wait alone.
        shared = RestoredGrant.objects.filter(
            resumed_at=None, credential__grant_id__in=named.values("grant_id")
        )
        batch = list(shared.order_by("pk").values_list("pk", "credential__account_id"))
        ids = [id for id, _ in batch]
        by_account: dict[uuid.UUID, list[NewEvent]] = defaultdict(list)
        for id, account_id in batch:
            by_account[account_id].append(NewEvent("credential.refresh_resumed", id))
        with transaction.atomic():
            resumed = RestoredGrant.objects.filter(pk__in=ids, resumed_at=None)
            count += resumed.update(resumed_at=DbNow())
            Grant.objects.filter(credentials__in=ids).update(next_at=DbNow())
            for account_id, events in by_account.items():
                record_events(actor, account_id, "credential", events)
    return count


def count_waiting_by_provider(only: GrantFilter) -> list[tuple[str, int]]:
    """Return the providers of waiting grants with the number of their grants, the most first."""
    rows = filter_waiting(only).order_by().values_list("credential__provider")
    return list(rows.annotate(count=Count("pk")).order_by("-count", "credential__provider"))


def find_undecided_restore() -> DatabaseRestore | None:
    """Return the last restore if grants wait for a decision, otherwise None."""
    waiting = filter_waiting(GrantFilter())
    return DatabaseRestore.objects.filter(Exists(waiting)).order_by("-id").first()


def filter_waiting(only: GrantFilter) -> QuerySet[RestoredGrant]:
    """Return the grants that wait and that `only` describes."""
    # Another generation of the credential has another grant, which does not wait.
    rows = RestoredGrant.objects.filter(
        resumed_at__isnull=True, generation=F("credential__grant__generation")
    )
    given = {
        "credential__account_id": only.account_id,
        "credential__provider": only.provider,
        "credential__oauth_app_id": only.oauth_app_id,
        "credential_id": only.credential_id,
    }
    return rows.filter(**{name: value for name, value in given.items() if value is not None})
