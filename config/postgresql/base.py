"""Django's PostgreSQL backend, with plans made for the values of a list and checked connections."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from common.db.planner import LIMIT_SEPARATOR, may_keep_plan


class Cursor(base.CursorMixin, psycopg.Cursor[Any]):
    """A cursor that prepares a statement only if one plan is good for all of its values."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # PostgreSQL plans an unprepared statement for its values, also behind a connection pooler.
        if isinstance(query, str) and LIMIT_SEPARATOR in query:
            return self._execute_with_limit(query, params)
        if isinstance(query, str) and not may_keep_plan(query):
            options["prepare"] = False
        return super().execute(query, params, **options)

    def _execute_with_limit(self, query: str, params: Any) -> Any:
        """Execute a time limit and its statement in one transaction, by one round trip."""
        # PostgreSQL takes several statements in one message only without separate parameters.
        super().execute(psycopg.ClientCursor(self.connection).mogrify(query, params))
        self.nextset()
        return self


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        """Return a connection of the pool that the server has not closed."""
        connection: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        # A restart or a timeout of the server closes connections that are idle in the pool.
        while self.pool and has_ended(connection):
            connection.close()
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        return connection


def has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Return whether there is data to read: on an idle connection, that is its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
