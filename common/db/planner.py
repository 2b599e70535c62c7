"""The statements that PostgreSQL may plan once, and a limit for the time of a list's statement."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.conf import settings
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


class ListTimeoutError(ServiceUnavailableError):
    """A list's statement took too long and was ended."""


class RecentKeys:
    """The newest `count` keys that were added in the last `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        with self._lock:
            self._until.pop(key, None)
            self._until[key] = time.monotonic() + self._seconds
            if len(self._until) > self._count:
                del self._until[next(iter(self._until))]

    def contains(self, key: str) -> bool:
        return self._until.get(key, 0.0) > time.monotonic()


class Statement(NamedTuple):
    """A statement and its values."""

    sql: str
    params: Sequence[Any]


_SLOW_IN_ORDER: Final = RecentKeys(1000, seconds=60)


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


def fetch_list(
    sql: str, params: Sequence[Any], *, seconds: float | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of a list's statement.

    Raise ListTimeoutError after `seconds`, by default `LIST_SECONDS`.
    """
    seconds = seconds or LIST_SECONDS
    if not dialect.is_postgresql() or connection.in_atomic_block:
        with limit_list_time(seconds), connection.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall())
    # One message to the server, because each would cost a list a tenth of its time.
    with _respond_to_timeout(), connection.cursor() as cursor:
        cursor.execute(f"{_format_limit(seconds)}{LIMIT_SEPARATOR}{sql}", params)
        return list(cursor.fetchall())


def fetch_list_in_order(ordered: Statement, by_matches: Statement) -> list[tuple[Any, ...]]:
    """Return the rows of `ordered`, or of `by_matches` where that takes too long on PostgreSQL.

    Both read the same rows. `ordered` walks an index in the order of the list until the page is
    full, which takes long if the matches are old, or if no row matches all filters. `by_matches`
    finds all matches by the indexes of their values first. No statistics tell which rows match two
    filters at once, so time decides, and the decision is remembered.
    """
    if not dialect.is_postgresql():
        return fetch_list(*ordered)
    key = repr(ordered)
    if not _SLOW_IN_ORDER.contains(key):
        try:
            return fetch_list(*ordered, seconds=min(settings.ORDERED_LIST_SECONDS, LIST_SECONDS))
        except ListTimeoutError:
            _SLOW_IN_ORDER.add(key)
    return fetch_list(*by_matches)


@contextlib.contextmanager
def limit_list_time(seconds: float | None = None) -> Iterator[None]:
    """End a statement of the block after `seconds`. Raise ListTimeoutError if one ended.

    The rows must be read within the block, which is one transaction.
    """
    with _respond_to_timeout(), transaction.atomic(), _limit_statements(seconds or LIST_SECONDS):
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
        raise ListTimeoutError(
            f"The list took longer than {LIST_SECONDS:g} seconds and was ended. Add a filter that"
            " fewer rows match, for example a shorter time, or try again shortly.",
            retry_after=5,
            extra={"code": "list_timeout"},
        ) from error


def _format_limit(seconds: float) -> str:
    return f"SET LOCAL statement_timeout = {seconds * 1000:.0f}"


@contextlib.contextmanager
def _limit_statements(seconds: float) -> Iterator[None]:
    if dialect.is_postgresql():
        dialect.execute_on_postgresql(_format_limit(seconds))
        yield
        return
    end = time.monotonic() + seconds
    connection.ensure_connection()
    sqlite = connection.connection
    sqlite.set_progress_handler(lambda: time.monotonic() > end, _SQLITE_STEPS)
    try:
        yield
    finally:
        sqlite.set_progress_handler(None, 0)
