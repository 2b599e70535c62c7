"""The statements that PostgreSQL may plan once, and a limit for the time of a list's statement."""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import OperationalError, connection, transaction

from common.db import dialect
from common.errors import ServiceUnavailableError

LIST_SECONDS: Final = 2.0
"""The longest that the statement of a list may take. One request slot of eight waits for it."""

LIMIT_SEPARATOR: Final = "; /* at most for the time of a list */ "
"""Between a time limit and the statement that it is for, which are sent as one message."""

_KEEPS_PLAN: Final = "/* keeps its plan */"
# Django writes LIMIT 21 for get(), which finds its row by a unique key.
_SELECTS_FROM_MANY: Final = re.compile(
    r"\bORDER BY\b|\bLIMIT (?!21\b)|\bGROUP BY\b|\b(?:COUNT|MIN|MAX|SUM|AVG)\("
)
# A statement this long has its values in its text, so it is never sent twice.
_MAX_LENGTH: Final = 20_000
_QUERY_CANCELED: Final = "57014"
_SQLITE_STEPS: Final = 10_000
"""Steps of SQLite's machine, about a millisecond, from one look at the time to the next."""


def keep_plan(sql: str) -> str:
    """Return `sql` with a mark that lets PostgreSQL reuse one plan for all of its values.

    Only for a statement whose form leaves a single good plan: a unique key, or one index and its
    order.
    """
    return f"{sql} {_KEEPS_PLAN}"


def may_keep_plan(sql: str) -> bool:
    """Return whether PostgreSQL may reuse a plan of the statement for other values.

    Of many matching rows a list reads a few. The best plan then depends on how many match: the plan
    for a value that half of all rows have reads a million rows to find that another has none.
    """
    return len(sql) <= _MAX_LENGTH and _has_one_plan(sql)


@functools.lru_cache(maxsize=1024)
def _has_one_plan(sql: str) -> bool:
    return _KEEPS_PLAN in sql or not _SELECTS_FROM_MANY.search(sql)


def fetch_list(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a list's statement. Raise ServiceUnavailableError after `LIST_SECONDS`."""
    if not dialect.is_postgresql() or connection.in_atomic_block:
        with limit_list_time(), connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())
    # One message to the server, because each would cost a list a tenth of its time.
    with _respond_to_timeout(), connection.cursor() as cursor:
        cursor.execute(f"{_format_limit()}{LIMIT_SEPARATOR}{sql}", params)
        return list(cursor.fetchall())


@contextlib.contextmanager
def limit_list_time() -> Iterator[None]:
    """End a statement of the block after `LIST_SECONDS`. Raise ServiceUnavailableError if one ended.

    The rows must be read within the block, which is one transaction.
    """
    with _respond_to_timeout(), transaction.atomic(), _limit_statements():
        yield


@contextlib.contextmanager
def _respond_to_timeout() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if dialect.is_postgresql():
            is_timeout = getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED
        else:
            is_timeout = error.args[:1] == ("interrupted",)
        if not is_timeout:
            raise
        raise ServiceUnavailableError(
            f"The list took longer than {LIST_SECONDS:g} seconds and was ended. Add a filter that"
            " fewer rows match, for example a shorter time, or try again shortly.",
            retry_after=5,
            extra={"code": "list_timeout"},
        ) from error


def _format_limit() -> str:
    return f"SET LOCAL statement_timeout = {LIST_SECONDS * 1000:.0f}"


@contextlib.contextmanager
def _limit_statements() -> Iterator[None]:
    if dialect.is_postgresql():
        dialect.execute_on_postgresql(_format_limit())
        yield
        return
    end = time.monotonic() + LIST_SECONDS
    connection.ensure_connection()
    sqlite = connection.connection
    sqlite.set_progress_handler(lambda: time.monotonic() > end, _SQLITE_STEPS)
    try:
        yield
    finally:
        sqlite.set_progress_handler(None, 0)
