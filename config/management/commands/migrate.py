from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from common.db import dialect


class Command(migrate.Command):
    """Django's own command without a statement timeout."""

    def handle(self, *args: Any, **options: Any) -> None:
        # An index over a million rows takes longer than a request's statement may.
        dialect.execute_on_postgresql("SET statement_timeout = 0")
        super().handle(*args, **options)
