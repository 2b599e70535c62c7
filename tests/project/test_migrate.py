"""The migrate command."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connection


@pytest.mark.django_db
def test_migrations_have_no_statement_timeout(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no statement timeout")
    timeouts = []

    def read_timeout(*args: object, **options: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            timeouts.extend(cursor.fetchone())

    monkeypatch.setattr(migrate.Command, "handle", read_timeout)
    call_command("migrate", verbosity=0)
    assert timeouts == ["0"]
