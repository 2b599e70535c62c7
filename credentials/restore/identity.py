"""The place of the database: which cluster, on which timeline, in which table.

A promoted standby and a point-in-time recovery have another timeline, another cluster has another
system identifier, and a dump that was loaded again has other object ids. SQLite has none of these.
"""

from __future__ import annotations

import functools
from typing import Final

from common.db import dialect

_PARTS: Final = {
    # The file name of a WAL segment begins with the timeline, in eight hexadecimal digits.
    "timeline": (
        "pg_walfile_name(pg_lsn)",
        "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)",
    ),
    "system": (
        "pg_control_system()",
        "(SELECT system_identifier::text FROM pg_control_system())",
    ),
    "copy": (
        None,
        "(SELECT oid::text FROM pg_database WHERE datname = current_database())"
        " || '/' || ('restore_databasemark'::regclass)::oid::text",
    ),
}
"""Name: (the function that the role needs the right to execute, the expression)."""


@functools.lru_cache(maxsize=1)
def build_identity_sql() -> str:
    """Return the expression of the identity, parts joined by colons; empty on SQLite.

    A part whose function the role may not execute is empty.
    """
    parts = [
        expression
        if function is None
        or dialect.fetch_on_postgresql(
            "has_function_privilege(%s, 'execute')", [function], sqlite=False
        )
        else "''"
        for function, expression in _PARTS.values()
    ]
    return dialect.choose(postgresql=" || ':' || ".join(parts), sqlite="''")


def find_difference(former: str, present: str) -> str | None:
    """Return the name of the first part that both identities have and that differs, or None."""
    pairs = zip(_PARTS, former.split(":"), present.split(":"), strict=False)
    for name, before, after in pairs:
        if before and after and before != after:
            return name
    return None
