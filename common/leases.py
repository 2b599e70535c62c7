"""Leases: one row of work belongs to one process at a time, by the database's clock.

The model has `next_at`, when the row is due, and `lease_owner`; it may have `fencing_number`.

1. `claim_rows` updates each row on the condition that it is still due. The update moves `next_at`
   to the end of the lease, so no other process finds the row due; its row count decides.
2. The process works, outside of a transaction.
3. `Lease.settle` writes the outcome on the condition that the row still belongs to the lease.

A process that dies leaves a lease that expires; then another process claims the row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Lease(Generic[M]):
    """The right of one process to work on `row` until `until`.

    `row` was read before it was claimed: its `lease_owner` and `next_at` are former values.
    """

    row: M
    owner: str
    until: dt.datetime
    fencing_number: int | None

    def filter_rows(self) -> QuerySet[M]:
        """Return the rows that still belong to this lease: its own one, or none."""
        rows = type(self.row)._default_manager.filter(pk=self.row.pk, lease_owner=self.owner)
        # The owner alone is not enough: a worker may claim the same row again after its first
        # lease has expired, in another thread.
        if self.fencing_number is None:
            return rows.filter(next_at=self.until)
        return rows.filter(fencing_number=self.fencing_number)

    def renew(self, until: dt.datetime) -> Self | None:
        """Return this lease with its end moved to `until`, or None if it was lost."""
        if not self.filter_rows().update(next_at=until):
            return None
        return replace(self, until=until)

    def settle(self, **values: Any) -> bool:
        """End the lease and write `values`. Return False, without writing, if it was lost."""
        return bool(self.filter_rows().update(lease_owner="", **values))


def claim_rows(
    due: QuerySet[M], rows: Iterable[M], *, owner: str, until: dt.datetime, **values: Any
) -> list[Lease[M]]:
    """Claim those of `rows` that are still in `due`, each by one conditional UPDATE.

    `due` has no limit; it must exclude a row once `next_at` is `until`. `values` are written with
    the claim. `owner` is the worker's name, at most 64 characters.
    """
    fields = {field.name: field for field in due.model._meta.fields}
    fencing_field = fields.get("fencing_number")
    changes = {"lease_owner": owner, "next_at": until, **values}
    leases = []
    for row in rows:
        still_due, fencing_number = due.filter(pk=row.pk), None
        if fencing_field is not None:
            former = fencing_field.value_from_object(row)
            still_due = still_due.filter(fencing_number=former)
            changes["fencing_number"] = fencing_number = former + 1
        if still_due.update(**changes):
            leases.append(Lease(row, owner, until, fencing_number))
    return leases
