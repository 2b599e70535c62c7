"""What PostgreSQL is told about how to plan."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import connection, transaction


@contextlib.contextmanager
def force_custom_plan() -> Iterator[None]:
    """Within, each statement gets a plan of its own.

    A statement that comes often is prepared, and its one plan then has to do for every value: that
    of a provider with half of all rows would read a million rows to show that another has none.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield
