"""The database of the tests: a migrated copy for each run and worker, and clean after each test.

A migrated SQLite database is copied instead of migrating again. The copy is as clean as a new
database, whatever an interrupted run left behind. Its name has a hash of every installed migration,
so that a changed one makes a new copy; `migrate` still runs on it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

import django
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

MIGRATED_TABLES: Final = frozenset(
    {"django_migrations", "django_content_type", "auth_permission"}
    | {"auth_group", "auth_group_permissions"}
)
"""Tables whose rows come from the migrations, and that no test with real transactions changes."""

OWN_TRANSACTIONS_SQL: Final = """
    coalesce(min(backend_xid::text::bigint),
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
    FROM pg_stat_activity WHERE datname = current_database()
"""
"""The oldest open transaction of this database alone, in place of all databases of the cluster."""


def delete_rows() -> None:
    """Delete what a test with real transactions has left.

    Django's `flush` would empty the tables of the migrations as well, lock all tables of PostgreSQL,
    and make the permissions of all models again, which takes longer than most tests.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Foreign keys are checked at the end of the transaction, so the order does not matter.
        for table in _list_tables():
            cursor.execute(f'DELETE FROM "{table}"')


def _list_tables() -> list[str]:
    # Read each time: a test of a migration changes them.
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(names) - MIGRATED_TABLES)


def copy_template() -> bool:
    """Put a migrated database where the tests expect theirs. Return False if there is none yet."""
    if connection.vendor != "sqlite" or not get_template().exists():
        return False
    target = Path(connection.settings_dict["TEST"]["NAME"])
    for leftover in target.parent.glob(f"{target.name}-*"):  # SQLite's -wal and -shm
        leftover.unlink()
    shutil.copyfile(get_template(), target)
    return True


def save_template() -> None:
    """Keep a copy of the test database, which must have been migrated and not used since."""
    if connection.vendor != "sqlite":
        return
    template = get_template()
    part = template.with_suffix(f".{os.getpid()}")
    source = sqlite3.connect(connection.settings_dict["NAME"])
    source.execute("VACUUM INTO ?", [str(part)])
    source.close()
    for former in template.parent.glob("template-*.sqlite3"):
        former.unlink(missing_ok=True)
    os.replace(part, template)


def get_template() -> Path:
    """Return the path of the copy for the installed migrations. It exists once tests were set up."""
    digest = hashlib.sha256(f"{django.__version__} {sqlite3.sqlite_version}".encode())
    for app in apps.get_app_configs():
        for file in sorted(Path(app.path, "migrations").glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    folder: Path = settings.VAR_DIR
    return folder / f"template-{digest.hexdigest()[:16]}.sqlite3"
