"""Sealed columns, and the keys that their values are encrypted with, read without decrypting any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from django.apps import apps
from django.db import models
from django.db.models import BinaryField, Count, ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Coalesce, Substr

from vault.fields import SealedField
from vault.keyring import ID_BYTES, get_keyring
from vault.models import Canary
from vault.sealing import pad_key_id, parse_key_id

# The offset of the key id in a blob. SQL counts from 1.
_KEY_ID_OFFSET: Final = 3


class SealedColumn(NamedTuple):
    """One sealed column of an installed model."""

    model: type[models.Model]
    name: str

    def __str__(self) -> str:
        field = cast("SealedField[Any, Any]", self.model._meta.get_field(self.name))
        return f"{self.model._meta.db_table}.{field.column}"

    def select_sealed_rows(self) -> QuerySet[Any]:
        """Return the rows with a value, annotated with `vault_key_id` (padded) and `vault_blob`."""
        key_id = Substr(self.name, _KEY_ID_OFFSET, ID_BYTES, output_field=BinaryField())
        blob = ExpressionWrapper(F(self.name), output_field=BinaryField())
        rows: QuerySet[Any] = self.model._base_manager.filter(**{f"{self.name}__isnull": False})
        # SQLite returns NULL, not an empty blob, for a part of an empty blob.
        rows = rows.annotate(vault_key_id=Coalesce(key_id, Value(b"")), vault_blob=blob)
        return rows.order_by("pk")

    def select_stale_rows(self) -> QuerySet[Any]:
        """Return the rows that are not encrypted with the primary key."""
        return self.select_sealed_rows().exclude(vault_key_id=pad_key_id(get_keyring().primary.id))


class KeyUsage(NamedTuple):
    """The number of values of a column with a key id; `?` stands for a header without one."""

    column: SealedColumn
    key_id: str
    rows: int


def list_sealed_columns() -> list[SealedColumn]:
    """Return every sealed column of every installed model, by table."""
    columns = [
        SealedColumn(model, field.name)
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        for field in model._meta.local_concrete_fields
        if isinstance(field, SealedField)
    ]
    return sorted(columns, key=str)


def count_rows_by_key() -> Iterator[KeyUsage]:
    """Yield the number of values that each column has under each key id."""
    for column in list_sealed_columns():
        counts: Counter[str] = Counter()
        headers = column.select_sealed_rows().order_by("vault_key_id").values_list("vault_key_id")
        for padded, rows in headers.annotate(rows=Count("pk")):
            counts[parse_key_id(bytes(padded))] += rows
        for key_id, rows in sorted(counts.items()):
            yield KeyUsage(column, key_id, rows)


def count_rows_of_key(key_id: str) -> int:
    """Return the number of values that need the key of this id to be decrypted."""
    return sum(
        usage.rows
        for usage in count_rows_by_key()
        # A canary only proves that its key is the right one, and goes with it.
        if usage.key_id == key_id and usage.column.model is not Canary
    )
