"""The rights that the service's PostgreSQL role should have, and a check of those it has."""

from __future__ import annotations

from typing import Final

from common.db import dialect

APPEND_ONLY_TABLES: Final = (
    "events_event",
    "events_eventseal",
    "events_accountcheckpoint",
    "events_sealingdelay",
)
"""The audit log and the checkpoints over it are only inserted."""

MIGRATIONS_TABLE: Final = "django_migrations"


def find_excess_rights() -> list[str]:
    """Return what this process's role may do though the service need not, as ends of a sentence."""
    is_superuser = dialect.fetch_on_postgresql(
        "rolsuper FROM pg_roles WHERE rolname = current_user", sqlite=False
    )
    owned = dialect.fetch_on_postgresql(
        "count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user",
        sqlite=0,
    )
    changeable = dialect.fetch_on_postgresql(
        "coalesce(array_agg(name), '{}') FROM unnest(%s::text[]) AS name"
        " WHERE has_table_privilege(name, 'UPDATE') OR has_table_privilege(name, 'DELETE')",
        [list(APPEND_ONLY_TABLES)],
        sqlite=list[str](),
    )
    found = ["is a superuser"] if is_superuser else []
    found += [f"owns {owned} tables"] if owned else []
    found += [f"may change {' and '.join(changeable)}"] if changeable else []
    return found
