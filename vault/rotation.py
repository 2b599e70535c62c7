"""Encrypting every sealed value again with the primary key, while other processes read and write.

It goes through the sealed fields of all installed models, so none can be forgotten. It can stop
anywhere and be started again: the key id in front of each blob says which rows are done.
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
"""A function that is called with the number of rows done and the number of all rows."""


class UndecryptableValue(NamedTuple):
    """A value that cannot be decrypted with the keyring."""

    column: SealedColumn
    row_id: Any

    def __str__(self) -> str:
        return f"{self.column} {self.row_id}"


@dataclass(frozen=True)
class RotationResult:
    """The number of rows that were encrypted again, of those that were not, and the failed ones of these."""

    rotated: int
    remaining: int
    failed: list[UndecryptableValue]


def iter_undecryptable(batch: int = BATCH_SIZE) -> Iterator[UndecryptableValue]:
    """Decrypt every sealed value of the database, and yield those that cannot be decrypted."""
    for column in list_sealed_columns():
        for rows in _iter_batches(column, column.select_sealed_rows(), batch):
            for row in rows:
                try:
                    unseal(Place.of(row, column.name), getattr(row, column.name))
                except SecretUnavailableError:
                    yield UndecryptableValue(column, row.pk)


def rotate_keys(
    batch: int = BATCH_SIZE, on_progress: ProgressCallback = lambda seen, total: None
) -> RotationResult:
    """Encrypt with the primary key every value that is encrypted with another.

    A value that another process changes concurrently keeps that change. A value that cannot be
    decrypted stays as it is and is reported. Raises ImproperlyConfigured if the keyring does not fit
    the database.
    """
    verify_keyring()
    # A canary proves its own key; encrypted with another it would prove nothing.
    columns = [column for column in list_sealed_columns() if column.model is not Canary]
    total = sum(column.select_stale_rows().count() for column in columns)
    rotated, seen, failed = 0, 0, list[UndecryptableValue]()
    for column in columns:
        for rows in _iter_batches(column, column.select_stale_rows(), batch):
            # A short transaction, so that its row locks do not delay other writers.
            with transaction.atomic():
                for row in rows:
                    place, old = Place.of(row, column.name), getattr(row, column.name)
                    try:
                        new = seal(place, unseal(place, old))
                    except SecretUnavailableError:
                        failed.append(UndecryptableValue(column, row.pk))
                        continue
                    # Compare and swap: another process may have replaced the blob concurrently.
                    unchanged = column.select_sealed_rows().filter(pk=row.pk, vault_blob=old.blob)
                    rotated += unchanged.update(**{column.name: new})
            seen += len(rows)
            on_progress(seen, total)
    remaining = sum(column.select_stale_rows().count() for column in columns)
    return RotationResult(rotated=rotated, remaining=remaining, failed=failed)


def _iter_batches(column: SealedColumn, queryset: QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """Yield the rows in the order of their ids, `size` at a time, each batch by one query."""
    # The columns that `Place.of` needs.
    names = ["pk", column.name, *(["account_id"] if has_account(column.model) else [])]
    queryset = queryset.only(*names)
    rows = list(queryset[:size])
    while rows:
        yield rows
        rows = list(queryset.filter(pk__gt=rows[-1].pk)[:size])
