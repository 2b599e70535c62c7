"""Django's PostgreSQL backend with a check of pooled connections that costs no round trip."""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection of the pool that the server has not closed."""
        connection = super().get_new_connection(conn_params)
        # A restart or a timeout of the server closes connections that are idle in the pool.
        while self.pool and has_ended(connection):
            connection.close()
            self.pool.putconn(connection)
            connection = super().get_new_connection(conn_params)
        return connection


def has_ended(connection: Any) -> bool:
    """Return whether there is data to read: on an idle connection, that is its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
