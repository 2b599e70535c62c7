"""Moving every seal of the database to the primary key while others read and write.

It goes through the sealed fields of all installed models, so a new one cannot be forgotten. It can
stop anywhere and be started again: what is done is told by the key id in front of each blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from vault.key_usage import Column, columns
from vault.models import Canary
from vault.sealing import (
    Place,
    SecretUnavailable,
    has_account,
    seal,
    unseal,
)
from vault.services import verify_ring

BATCH: Final = 500
Progress = Callable[[int, int], None]
"""Called with the rows looked at and the rows there were to look at."""


class Unopened(NamedTuple):
    """A seal that does not open with the ring."""

    column: Column
    row_id: Any

    def __str__(self) -> str:
        return f"{self.column} {self.row_id}"


@dataclass(frozen=True)
class Outcome:
    """`rotated` rows are under the primary key now; `remaining` still are not, among them `failed`."""

    rotated: int
    remaining: int
    failed: list[Unopened]


def unopenable(batch: int = BATCH) -> Iterator[Unopened]:
    """Open every seal of the database; those that do not open."""
    for column in columns():
        for rows in _batches(column, column.rows(), batch):
            for row in rows:
                try:
                    unseal(Place.of(row, column.name), getattr(row, column.name))
                except SecretUnavailable:
                    yield Unopened(column, row.pk)


def rotate(batch: int = BATCH, on_progress: Progress = lambda seen, total: None) -> Outcome:
    """Seal anew, under the primary key, whatever lies under another.

    A row that a writer changes meanwhile keeps the writer's value. A row that does not open stays
    as it is and is reported. Raises ImproperlyConfigured when the ring does not fit the database.
    """
    verify_ring()
    # A canary is the proof of its own key; under another it would prove nothing.
    work = [column for column in columns() if column.model is not Canary]
    total = sum(column.stale().count() for column in work)
    rotated, seen, failed = 0, 0, list[Unopened]()
    for column in work:
        for rows in _batches(column, column.stale(), batch):
            moved, unopened = _rotate_batch(column, rows)
            rotated, seen = rotated + moved, seen + len(rows)
            failed += unopened
            on_progress(seen, total)
    remaining = sum(column.stale().count() for column in work)
    return Outcome(rotated=rotated, remaining=remaining, failed=failed)


def _batches(column: Column, queryset: QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """The rows in the order of their ids, `size` at a time, each batch a query of its own."""
    needed = ["pk", column.name, *(["account_id"] if has_account(column.model) else [])]
    queryset = queryset.only(*needed)
    rows = list(queryset[:size])
    while rows:
        yield rows
        rows = list(queryset.filter(pk__gt=rows[-1].pk)[:size])


def _rotate_batch(column: Column, rows: list[Any]) -> tuple[int, list[Unopened]]:
    """One short transaction; how many rows moved, and which did not open."""
    moved, unopened = 0, list[Unopened]()
    with transaction.atomic():
        for row in rows:
            try:
                moved += _rotate_row(column, row)
            except SecretUnavailable:
                unopened.append(Unopened(column, row.pk))
    return moved, unopened


def _rotate_row(column: Column, row: Any) -> int:
    """Compare and swap: the update finds the row only while it holds the blob that was opened."""
    place, old = Place.of(row, column.name), getattr(row, column.name)
    new = seal(place, unseal(place, old))
    unchanged = column.rows().filter(pk=row.pk, vault_blob=old.blob)
    return int(unchanged.update(**{column.name: new}))
