from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connection


@pytest.mark.django_db
def test_migrations_may_take_longer_than_a_request(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no limit of time")
    seen = []

    def look(*args: object, **options: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            seen.extend(cursor.fetchone())

    monkeypatch.setattr(migrate.Command, "handle", look)
    call_command("migrate", verbosity=0)
    assert seen == ["0"]
