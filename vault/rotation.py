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

from vault.key_usage import SealedColumn, list_sealed_columns
from vault.models import Canary
from vault.sealing import (
    Place,
    SecretUnavailableError,
    has_account,
    seal,
    unseal,
)
from vault.services import verify_keyring

BATCH_SIZE: Final = 500
ProgressCallback = Callable[[int, int], None]
"""Called with the rows looked at and the rows there were to look at."""


class UndecryptableValue(NamedTuple):
    """A seal that does not open with the ring."""

    column: SealedColumn
    row_id: Any

    def __str__(self) -> str:
        return f"{self.column} {self.row_id}"


@dataclass(frozen=True)
class RotationResult:
    """`rotated` rows are under the primary key now; `remaining` still are not, among them `failed`."""

    rotated: int
    remaining: int
    failed: list[UndecryptableValue]


def iter_undecryptable(batch: int = BATCH_SIZE) -> Iterator[UndecryptableValue]:
    """Open every seal of the database; those that do not open."""
    for column in list_sealed_columns():
        for rows in _batches(column, column.select_sealed_rows(), batch):
            for row in rows:
                try:
                    unseal(Place.of(row, column.name), getattr(row, column.name))
                except SecretUnavailableError:
                    yield UndecryptableValue(column, row.pk)


def rotate_keys(
    batch: int = BATCH_SIZE, on_progress: ProgressCallback = lambda seen, total: None
) -> RotationResult:
    """Seal anew, under the primary key, whatever lies under another.

    A row that a writer changes meanwhile keeps the writer's value. A row that does not open stays
    as it is and is reported. Raises ImproperlyConfigured when the ring does not fit the database.
    """
    verify_keyring()
    # A canary is the proof of its own key; under another it would prove nothing.
    work = [column for column in list_sealed_columns() if column.model is not Canary]
    total = sum(column.select_stale_rows().count() for column in work)
    rotated, seen, failed = 0, 0, list[UndecryptableValue]()
    for column in work:
        for rows in _batches(column, column.select_stale_rows(), batch):
            moved, unopened = _rotate_batch(column, rows)
            rotated, seen = rotated + moved, seen + len(rows)
            failed += unopened
            on_progress(seen, total)
    remaining = sum(column.select_stale_rows().count() for column in work)
    return RotationResult(rotated=rotated, remaining=remaining, failed=failed)


def _batches(column: SealedColumn, queryset: QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """The rows in the order of their ids, `size` at a time, each batch a query of its own."""
    needed = ["pk", column.name, *(["account_id"] if has_account(column.model) else [])]
    queryset = queryset.only(*needed)
    rows = list(queryset[:size])
    while rows:
        yield rows
        rows = list(queryset.filter(pk__gt=rows[-1].pk)[:size])


def _rotate_batch(column: SealedColumn, rows: list[Any]) -> tuple[int, list[UndecryptableValue]]:
    """One short transaction; how many rows moved, and which did not open."""
    moved, unopened = 0, list[UndecryptableValue]()
    with transaction.atomic():
        for row in rows:
            try:
                moved += _rotate_row(column, row)
            except SecretUnavailableError:
                unopened.append(UndecryptableValue(column, row.pk))
    return moved, unopened


def _rotate_row(column: SealedColumn, row: Any) -> int:
    """Compare and swap: the update finds the row only while it holds the blob that was opened."""
    place, old = Place.of(row, column.name), getattr(row, column.name)
    new = seal(place, unseal(place, old))
    unchanged = column.select_sealed_rows().filter(pk=row.pk, vault_blob=old.blob)
    return int(unchanged.update(**{column.name: new}))
