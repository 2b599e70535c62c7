"""The rights that the service's PostgreSQL role should have, and a check of those it has."""

from __future__ import annotations

from typing import Final

from django.db import connection

APPEND_ONLY_TABLES: Final = ("events_event", "events_eventseal")
"""The audit log and the checkpoints over it are only inserted."""

MIGRATIONS_TABLE: Final = "django_migrations"


def find_excess_rights() -> list[str]:
    """Return what this process's role may do though the service need not, as ends of a sentence."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, (SELECT count(*) FROM pg_tables"
            " WHERE schemaname = 'public' AND tableowner = current_user)"
            " FROM pg_roles WHERE rolname = current_user"
        )
        is_superuser, owned = cursor.fetchone()
        cursor.execute(
            "SELECT relname FROM unnest(%s::text[]) AS relname"
            " WHERE has_table_privilege(relname, 'UPDATE') OR has_table_privilege(relname, 'DELETE')",
            [list(APPEND_ONLY_TABLES)],
        )
        changeable = [name for (name,) in cursor.fetchall()]
    found = ["is a superuser"] if is_superuser else []
    found += [f"owns {owned} tables"] if owned else []
    found += [f"may change {' and '.join(changeable)}"] if changeable else []
    return found
