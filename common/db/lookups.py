"""JSON containment that means the same on both databases: PostgreSQL's `@>`."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import JSONField, Lookup
from django.db.models.sql.compiler import SQLCompiler

# SQLite calls its function for each row, and always with the same second argument.
_parse_part: Final = functools.lru_cache(maxsize=64)(json.loads)


@JSONField.register_lookup
class JSONContains(Lookup[Any]):
    """`filter(metadata__jsoncontains={"a": 1})`. Django's own `contains` does not support SQLite."""

    lookup_name = "jsoncontains"
    prepare_rhs = False

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} @> %s::jsonb", [*params, json.dumps(self.rhs)]

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        return f"latchkey_contains({column}, %s)", [*params, json.dumps(self.rhs)]


def register_sqlite_functions(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Add what SQLite lacks to a new connection: the containment of JSON, and lower case."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(
            "latchkey_contains",
            2,
            lambda whole, part: json_contains(json.loads(whole), _parse_part(part)),
            deterministic=True,
        )
        connection.connection.create_function("latchkey_lower", 1, str.lower, deterministic=True)


def json_contains(whole: object, part: object) -> bool:
    """Return whether `whole` contains `part`, as PostgreSQL's jsonb `@>` does below the top level.

    An object contains another if each member of the other is contained in its own. An array
    contains another if each element of the other is contained in one of its elements. A scalar
    contains its equal: 42 equals 42.0, but 42 does not equal "42", nor 1 equal true.
    """
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and json_contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(json_contains(element, wanted) for element in whole) for wanted in part
        )
    if isinstance(part, bool) or isinstance(whole, bool):
        return whole is part
    return not isinstance(whole, dict | list) and bool(whole == part)
