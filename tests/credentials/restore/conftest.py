"""A backup of the tables that matter, which is restored while the provider goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credentials.models import Credential, Grant
from credentials.refresh.restored_database import require_current_database
from credentials.restore import recognition
from credentials.restore.models import DatabaseMark, DatabaseRestore, RestoredGrant
from tests.fakes.fixtures import app, facts, grant, provider

__all__ = ["app", "facts", "grant", "provider"]


class Backup:
    """The grants and the mark as they were when it was made."""

    def __init__(self) -> None:
        require_current_database()
        recognition.count_mark()
        self.rows = [*Grant.objects.all(), *Credential.objects.all()]
        self.mark = DatabaseMark.objects.get()

    def restore(self) -> None:
        """Write them back, as a process finds them that starts after a restore."""
        RestoredGrant.objects.all().delete()
        DatabaseRestore.objects.all().delete()
        for row in self.rows:
            values: dict[str, Any] = {
                field.attname: getattr(row, field.attname)
                for field in row._meta.concrete_fields
                if not field.generated and not field.primary_key
            }
            type(row)._base_manager.filter(pk=row.pk).update(**values)
        self.mark.save()
        recognition.forget_seen_mark()


@pytest.fixture
def make_backup(provider, settings) -> Callable[[], Backup]:
    """Return a function that makes a backup. Later marks are counted as a worker counts them."""
    recognition.forget_seen_mark()
    return Backup
