"""Expand, then contract: the former release works on a database that this one has migrated.

docs/operation.md ("Upgrades") explains the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models.fields import NOT_PROVIDED

# The first release has no predecessor, so the rule is for the migrations after it: from these numbers.
FIRST_NUMBERS = {"credentials": 20}
OTHER_FIRST_NUMBER = 10
# Migrations that may break the rule, each with the reason.
EXCEPTIONS: dict[tuple[str, str], str] = {}

REMOVING = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.DeleteModel,
    migrations.RenameModel,
    migrations.AlterModelTable,
)


def find_violations(operations: Iterable[Any]) -> list[str]:
    """Return what the former release, which still runs, would not survive."""
    found = []
    created: set[str] = set()
    for operation in flatten(operations):
        name = f"{type(operation).__name__}({describe(operation)})"
        model = getattr(operation, "model_name", "").lower()
        if isinstance(operation, migrations.CreateModel):
            created.add(operation.name.lower())
        elif isinstance(operation, REMOVING):
            found.append(f"{name}: the former release still uses it; remove it one release later")
        elif isinstance(operation, migrations.AddField) and model not in created:
            if not is_optional(operation.field):
                found.append(f"{name}: the former release inserts no value; null or db_default")
        elif isinstance(operation, migrations.AddConstraint) and model not in created:
            found.append(f"{name}: the former release does not know it")
        elif type(operation) is migrations.AddIndex and model not in created:
            found.append(f"{name}: writes wait until it is built; AddIndexConcurrently")
    return found


def flatten(operations: Iterable[Any]) -> Iterator[Any]:
    """Yield the operations that change the database."""
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from flatten(operation.database_operations)
        else:
            yield operation


def describe(operation: Any) -> str:
    parts = (getattr(operation, key, "") for key in ("model_name", "old_name", "name"))
    return ".".join(str(part) for part in parts if part)


def is_optional(field: models.Field[Any, Any]) -> bool:
    return field.null or field.db_default is not NOT_PROVIDED or field.many_to_many is True


def iter_new_migrations() -> Iterator[Any]:
    ours = {config.label for config in apps.get_app_configs() if "site-packages" not in config.path}
    for (label, name), migration in MigrationLoader(None).disk_migrations.items():
        if label in ours and int(name[:4]) >= FIRST_NUMBERS.get(label, OTHER_FIRST_NUMBER):
            yield migration


def test_migrations_leave_the_former_release_working():
    found = {
        f"{migration.app_label}.{migration.name}": violations
        for migration in iter_new_migrations()
        if (migration.app_label, migration.name) not in EXCEPTIONS
        and (violations := find_violations(migration.operations))
    }
    assert found == {}


FIELD = models.TextField(null=True)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RemoveField("credential", "name"),
        migrations.RenameField("credential", "name", "title"),
        migrations.DeleteModel("Credential"),
        migrations.AddField("credential", "x", models.TextField()),
        migrations.AddField("credential", "x", models.TextField(default="")),
        migrations.AddIndex("credential", models.Index(fields=["x"], name="x")),
        migrations.AddConstraint(
            "credential", models.UniqueConstraint(fields=["x"], name="unique_x")
        ),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_the_former_release_would_not_survive_is_found(operation):
    assert find_violations([operation])
    assert find_violations([migrations.SeparateDatabaseAndState([operation])])


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.AddField("credential", "x", FIELD)],
        [migrations.AddField("credential", "x", models.TextField(db_default=""))],
        [migrations.CreateModel("Grant", [("id", models.BigAutoField(primary_key=True))])],
        [
            migrations.CreateModel("Grant", [("id", models.BigAutoField(primary_key=True))]),
            migrations.AddField("grant", "x", models.TextField()),
            migrations.AddIndex("grant", models.Index(fields=["x"], name="x")),
        ],
        [AddIndexConcurrently("credential", models.Index(fields=["x"], name="x"))],
        [migrations.SeparateDatabaseAndState([], [migrations.RemoveField("credential", "name")])],
    ],
)
def test_additions_are_allowed(operations):
    assert find_violations(operations) == []
