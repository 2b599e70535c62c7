"""A migrated SQLite database that is copied instead of migrating anew for each run and worker.

The copy is as clean as a new database, whatever an interrupted run left behind. Its name has a hash of
every installed migration, so that a changed one makes a new copy; `migrate` still runs on it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.db import connection


def copy_template() -> bool:
    """Put a migrated database where the tests expect theirs. Return False if there is none yet."""
    if connection.vendor != "sqlite" or not _template().exists():
        return False
    target = Path(connection.settings_dict["TEST"]["NAME"])
    for leftover in target.parent.glob(f"{target.name}-*"):  # SQLite's -wal and -shm
        leftover.unlink()
    shutil.copyfile(_template(), target)
    return True


def save_template() -> None:
    """Keep a copy of the test database, which must have been migrated and not used since."""
    if connection.vendor != "sqlite":
        return
    template = _template()
    part = template.with_suffix(f".{os.getpid()}")
    source = sqlite3.connect(connection.settings_dict["NAME"])
    source.execute("VACUUM INTO ?", [str(part)])
    source.close()
    for former in template.parent.glob("template-*.sqlite3"):
        former.unlink(missing_ok=True)
    os.replace(part, template)


def _template() -> Path:
    digest = hashlib.sha256(f"{django.__version__} {sqlite3.sqlite_version}".encode())
    for app in apps.get_app_configs():
        for file in sorted(Path(app.path, "migrations").glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    folder: Path = settings.VAR_DIR
    return folder / f"template-{digest.hexdigest()[:16]}.sqlite3"
