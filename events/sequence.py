"""The order of events: a number that the database gives each event as it is inserted.

Ids contain the clocks of the machines that made them, so an event could be inserted anywhere in their
order. A position is never reused. Positions may be missing, because a rolled-back transaction used them
up, and may become visible late, because a long transaction commits after others that began later:
`events.hash_chain` waits for those.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import BigIntegerField
from django.db.models.expressions import Func

POSITION_SEQUENCE: Final = "events_event_position_seq"


class NextPosition(Func):
    """The default of the position's column: the next number of the sequence on PostgreSQL."""

    arity = 0
    output_field = BigIntegerField()

    def as_postgresql(
        self, compiler: object, connection: object, **context: Any
    ) -> tuple[str, list[Any]]:
        # The transaction must have its number before its event has a position: events.hash_chain
        # infers from it which transactions can still commit an event.
        has_number = "pg_current_xact_id() IS NOT NULL"
        return f"(CASE WHEN {has_number} THEN nextval('{POSITION_SEQUENCE}') END)", []

    def as_sqlite(self, compiler: object, connection: object, **context: Any) -> Any:
        return "NULL", []
