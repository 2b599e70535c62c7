"""What is sealed where, and under which key: told by the headers, without opening anything."""

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

_KEY_ID_AT: Final = 3
"""Where the key id starts in a blob, as SQL counts: from 1."""


class SealedColumn(NamedTuple):
    """One sealed column of an installed model."""

    model: type[models.Model]
    name: str

    def __str__(self) -> str:
        field = cast("SealedField[Any, Any]", self.model._meta.get_field(self.name))
        return f"{self.model._meta.db_table}.{field.column}"

    def select_sealed_rows(self) -> QuerySet[Any]:
        """The rows that hold a seal, with their key id (padded, as in the blob) and blob beside."""
        key_id = Substr(self.name, _KEY_ID_AT, ID_BYTES, output_field=BinaryField())
        blob = ExpressionWrapper(F(self.name), output_field=BinaryField())
        held: QuerySet[Any] = self.model._base_manager.filter(**{f"{self.name}__isnull": False})
        # SQLite says NULL, not empty, for a part of an empty blob.
        held = held.annotate(vault_key_id=Coalesce(key_id, Value(b"")), vault_blob=blob)
        return held.order_by("pk")

    def select_stale_rows(self) -> QuerySet[Any]:
        """The rows that are not under the primary key."""
        return self.select_sealed_rows().exclude(vault_key_id=pad_key_id(get_keyring().primary.id))


class KeyUsage(NamedTuple):
    """How many seals of a column bear a key id; `?` stands for a header that names none."""

    column: SealedColumn
    key_id: str
    rows: int


def list_sealed_columns() -> list[SealedColumn]:
    """Every sealed column of every installed model, by table."""
    found = [
        SealedColumn(model, field.name)
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        for field in model._meta.local_concrete_fields
        if isinstance(field, SealedField)
    ]
    return sorted(found, key=str)


def count_rows_by_key() -> Iterator[KeyUsage]:
    """How many seals each column has under each key id, read without opening any."""
    for column in list_sealed_columns():
        counts: Counter[str] = Counter()
        headers = column.select_sealed_rows().order_by("vault_key_id").values_list("vault_key_id")
        for padded, rows in headers.annotate(rows=Count("pk")):
            counts[parse_key_id(bytes(padded))] += rows
        for key_id, rows in sorted(counts.items()):
            yield KeyUsage(column, key_id, rows)


def count_rows_of_key(key_id: str) -> int:
    """How many seals need the key of this id; its canary, which only proves it, does not count."""
    return sum(
        tally.rows
        for tally in count_rows_by_key()
        if tally.key_id == key_id and tally.column.model is not Canary
    )
