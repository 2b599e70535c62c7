"""The order of events: a number that the database gives each of them as it is inserted.

Ids hold the clocks of the machines that made them, and are of no use as an order that nobody can slip something into. A position
is not reused. Positions may be missing (what was rolled back took one) and may become visible late (a long import commits
after others that began later): `events.hash_chain` waits for those.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import BigIntegerField
from django.db.models.expressions import Func

POSITION_SEQUENCE: Final = "events_event_position_seq"

HIGHEST_POSITION_SQL: Final = "(SELECT coalesce(max(position), 0) FROM events_event)"
"""What SQLite, whose writers come one after the other, counts on from."""


class NextPosition(Func):
    """The column's default on PostgreSQL. The transaction has its own number before its event has one:
    sealing infers from it who is still under way (events.hash_chain)."""

    arity = 0
    output_field = BigIntegerField()

    def as_postgresql(
        self, compiler: Any, connection: Any, **context: Any
    ) -> tuple[str, list[Any]]:
        begun = "pg_current_xact_id() IS NOT NULL"
        return f"(CASE WHEN {begun} THEN nextval('{POSITION_SEQUENCE}') END)", []

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "NULL", []
