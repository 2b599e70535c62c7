"""JSON containment with one meaning on both databases: PostgreSQL's `@>`."""

from __future__ import annotations

import functools
import json
from typing import Any

from django.db.models import JSONField, Lookup


@JSONField.register_lookup
class JSONContains(Lookup[Any]):
    """`filter(metadata__jsoncontains={"a": 1})`; Django's own `contains` is not there on SQLite."""

    lookup_name = "jsoncontains"
    prepare_rhs = False

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} @> %s::jsonb", [*params, json.dumps(self.rhs)]

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, params = self.process_lhs(compiler, connection)
        return f"latchkey_contains({column}, %s)", [*params, json.dumps(self.rhs)]


def register_sqlite_functions(connection: Any) -> None:
    """Give a new SQLite connection the function that `as_sqlite` calls."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(
            "latchkey_contains", 2, _contains_text, deterministic=True
        )


def json_contains(whole: Any, part: Any) -> bool:
    """Whether `whole` contains `part` as PostgreSQL's jsonb `@>` has it, below the top level.

    An object contains another that has some of its members, each contained; an array contains
    another whose every element some element contains; a scalar contains its equal (42 and 42.0
    are equal; 42 and "42", 1 and true are not).
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


def _contains_text(whole: str, part: str) -> bool:
    return json_contains(json.loads(whole), _parsed(part))


@functools.lru_cache(maxsize=64)
def _parsed(part: str) -> Any:
    return json.loads(part)
