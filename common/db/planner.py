"""Control over PostgreSQL's query planner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.db import transaction

from common.db import dialect


@contextlib.contextmanager
def force_custom_plan() -> Iterator[None]:
    """Plan each statement of the block for its own parameters. The block is one transaction."""
    with transaction.atomic():
        # A frequent statement is prepared, and its generic plan serves every value. The plan for a
        # provider with half of all rows would read a million rows to find that another has none.
        dialect.execute_on_postgresql("SET LOCAL plan_cache_mode = force_custom_plan")
        yield
