"""Mark the grants that may have been replaced after the time to which the database was restored.

Each counts as one whose last attempt has an unknown outcome (`in_doubt`). It waits for a person,
unless its provider still accepts a replaced grant.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from django.db import transaction
from django.db.models import Case, DateTimeField, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Greatest

from common.db.clock import DbNow
from credentials.core.grant_state import NEEDS_REAUTH, NO_LEASE
from credentials.models import Credential, Grant
from credentials.restore.models import DatabaseRestore, RestoredGrant
from providers.registry import get_registry

BATCH: Final = 500
_WINDOW: Final = 10_000
"""Rows of the table that one statement reads."""


GRACE_MARGIN: Final = dt.timedelta(seconds=5)
_ANOTHER_CHANGE: Final = 1
"""Generations by which a grant may be behind and still be the one before the provider's."""


def mark_due_grants(restore: DatabaseRestore, *, every_grant: bool = False) -> int:
    """Mark the grants that were due before the restore was recognised. Return their number.

    A process may have refreshed them since, and so may the holder of a lease. `every_grant` marks
    those too that are due later, in case they were refreshed ahead of time.
    """
    # A leased grant is due as well.
    due = Q(grant__next_at__lte=restore.recognised_at) | Q(grant__lease_until__isnull=False)
    if every_grant:
        due |= Q(grant__last_at__isnull=True) | Q(grant__last_at__lt=restore.recognised_at)
    rows = Credential.objects.filter(due, kind__in=_find_rotating_kinds())
    known = RestoredGrant.objects.filter(
        credential_id=OuterRef("id"), generation=OuterRef("grant__generation")
    )
    rows = rows.exclude(grant__state=NEEDS_REAUTH).exclude(pk__in=known.values("credential_id"))
    count = 0
    for ids in _read_windows(rows):
        for start in range(0, len(ids), BATCH):
            count += _mark(restore, ids[start : start + BATCH])
    return count


def mark_refreshed_grants(restore: DatabaseRestore, generations: Mapping[uuid.UUID, int]) -> int:
    """Mark the grants of which a later generation was stored once. Return their number."""
    count = 0
    kinds = _find_rotating_kinds()
    ids = sorted(generations)
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        rows = Credential.objects.filter(id__in=batch, kind__in=kinds, grant__isnull=False)
        behind = {
            id: generations[id] - generation
            for id, generation in rows.values_list("id", "grant__generation")
            if generation < generations[id]
        }
        if behind:
            count += _mark(restore, sorted(behind), behind)
    return count


def _mark(
    restore: DatabaseRestore,
    ids: Iterable[uuid.UUID],
    behind: Mapping[uuid.UUID, int] | None = None,
) -> int:
    with transaction.atomic():
        named = Credential.objects.filter(id__in=ids, grant__isnull=False)
        grant_ids = list(named.values_list("grant_id", flat=True))
        rows = Credential.objects.select_for_update(of=("self",), no_key=True).order_by("id")
        # Others that share the grant wait with it.
        rows = rows.filter(grant_id__in=grant_ids).only("id", "grant", "kind")
        locked = list(rows)
        # Read once their credentials are locked: a refresh that ended before has changed them.
        by_id = Grant.objects.select_for_update(no_key=True).order_by("id").in_bulk(grant_ids)
        too_old = {
            row.grant_id for row in locked if behind and behind.get(row.id, 0) > _ANOTHER_CHANGE
        }
        grants: list[RestoredGrant] = []
        waiting: set[uuid.UUID] = set()
        going: set[uuid.UUID] = set()
        for row in locked:
            if row.grant_id is None or row.grant_id not in by_id:
                continue
            grant = by_id[row.grant_id]
            goes_on = grant.id not in too_old and _is_within_grace(row, grant, restore)
            (going if goes_on else waiting).add(grant.id)
            grants.append(
                RestoredGrant(
                    credential_id=row.id,
                    generation=grant.generation,
                    restore=restore,
                    resumed_at=restore.recognised_at if goes_on else None,
                    noted_at=restore.recognised_at if goes_on else None,
                )
            )
        RestoredGrant.objects.bulk_create(
            grants,
            update_conflicts=True,
            unique_fields=["credential"],
            update_fields=["generation", "restore", "resumed_at", "noted_at"],
        )
        unknowns = Greatest(F("unknowns"), 1)
        # Without a time the worker does not find them, however many there are.
        Grant.objects.filter(id__in=waiting).update(**NO_LEASE, unknowns=unknowns, next_at=None)
        # A lease stays: its holder may still wait for the provider, and only one request is sent.
        Grant.objects.filter(id__in=going).update(
            unknowns=unknowns,
            in_doubt_since=Coalesce("in_doubt_since", _get_earliest_refresh(restore)),
            next_at=DbNow(),
        )
    return len(grants)


def _get_earliest_refresh(restore: DatabaseRestore) -> Case:
    """Return the time since which a grant may have been replaced (see `_is_within_grace`)."""
    restored_to = Value(restore.restored_to)
    due = When(next_at__lte=restore.recognised_at, then=Greatest("next_at", restored_to))
    return Case(due, default=restored_to, output_field=DateTimeField())


def _is_within_grace(row: Credential, grant: Grant, restore: DatabaseRestore) -> bool:
    """Return True if the provider accepts the grant even if it was replaced when it was due."""
    oauth = get_registry().get_oauth(row.kind)
    grace = oauth.refresh.grace_seconds if oauth else None
    if not grace:
        return False
    replaced_at = restore.restored_to
    if grant.next_at is not None and grant.next_at <= restore.recognised_at:
        # The worker replaces no grant before it is due.
        replaced_at = max(grant.next_at, restore.restored_to)
    return restore.recognised_at < replaced_at + dt.timedelta(seconds=grace) - GRACE_MARGIN


def _read_windows(rows: QuerySet[Credential]) -> Iterator[list[uuid.UUID]]:
    """Yield the ids of `rows` in windows of the whole table, so that no statement reads all of it."""
    after = uuid.UUID(int=0)
    while True:
        following = (
            Credential.objects.filter(id__gt=after).order_by("id").values_list("id", flat=True)
        )
        last = following[_WINDOW - 1 : _WINDOW].first()
        window = (
            rows.filter(id__gt=after) if last is None else rows.filter(id__gt=after, id__lte=last)
        )
        yield list(window.order_by("id").values_list("id", flat=True))
        if last is None:
            return
        after = last


def _find_rotating_kinds() -> list[str]:
    """Return the kinds whose refresh may replace the refresh token."""
    registry = get_registry()
    return [
        kind.name
        for kind in registry.kinds.values()
        if kind.refreshes
        and kind.grant == "refresh_token"
        and ((oauth := registry.get_oauth(kind.name)) is None or oauth.refresh.rotates is not False)
    ]
