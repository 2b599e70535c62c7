"""Many cases in one test: each is rolled back, and their failures are collected."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from django.db import transaction

Case = Callable[[str], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def collect_failures() -> Iterator[Case]:
    """Run each `with case(name):` block to its end, and fail afterwards if any of them failed.

    What a case stores is rolled back, so that the next one finds the same database.
    """
    failures: list[str] = []

    @contextlib.contextmanager
    def case(name: str) -> Iterator[None]:
        block: Any = transaction.atomic()
        # Egress rejects calls in any other transaction.
        block._from_testcase = True
        try:
            with block:
                yield
                transaction.set_rollback(True)
        except Exception as error:
            failures.append(f"{name}: {type(error).__name__}: {error}"[:1000])

    yield case
    assert failures == [], "\n\n".join(failures)
