"""Columns of the table of credentials, for the statements that are written out as text.

A row that such a statement reads is a NamedTuple whose fields are annotated with their SQL. A new
column is then one line there, and the type checker sees it wherever the row is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from django.db import models

from credentials.models import Credential, Grant

TABLE: Final = Credential._meta.db_table
GRANT_TABLE: Final = Grant._meta.db_table

_POSTGRESQL_TYPES: Final = {
    "BinaryField": "bytea",
    "BooleanField": "boolean",
    "CharField": "text",
    "DateTimeField": "timestamptz",
    "JSONField": "jsonb",
    "PositiveIntegerField": "int",
    "UUIDField": "uuid",
}


@dataclass(frozen=True, slots=True)
class Sql:
    """The expression that a field is read by. `form` names the conversion that the caller adds."""

    text: str
    form: str = ""


def read_select_list(row_type: type[tuple[Any, ...]]) -> Iterator[Sql]:
    """Yield the SQL of each field of a NamedTuple, in the order of its fields."""
    hints = get_type_hints(row_type, include_extras=True)
    for name in row_type.__annotations__:
        (sql,) = hints[name].__metadata__
        yield sql


def get_columns_except(*names: str) -> tuple[str, ...]:
    """Return all columns but `names`, for `Credential.objects.raw`. Raise KeyError if one is unknown.

    A column that is added later is read at once: what is left out would cost a query of its own.
    """
    columns = dict.fromkeys(field.attname for field in Credential._meta.concrete_fields)
    for name in names:
        del columns[name]
    return tuple(columns)


def get_postgresql_types(
    columns: Iterable[str], model: type[models.Model] = Credential
) -> dict[str, str]:
    """Return the PostgreSQL type of each column, in the given order, for `insert_rows`."""
    fields: dict[str, Any] = {field.attname: field for field in model._meta.concrete_fields}
    return {
        name: _POSTGRESQL_TYPES[
            getattr(fields[name], "target_field", fields[name]).get_internal_type()
        ]
        for name in columns
    }
