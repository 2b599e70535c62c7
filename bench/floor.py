"""The floor: the least code that can serve the page. No framework, a connection per thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

import psycopg

from bench import page

_held = threading.local()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    with _connection().cursor() as cursor:
        cursor.execute(page.TOKEN, [page.digest(environ.get("HTTP_AUTHORIZATION", ""))])
        token = cursor.fetchone()
        if token is None:
            start_response("401 Unauthorized", [])
            return [b""]
        cursor.execute(page.PAGE, [token[1]])
        body = page.build_list(token[1], cursor.fetchall())
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _connection() -> psycopg.Connection[Any]:
    found: psycopg.Connection[Any] | None = getattr(_held, "connection", None)
    if found is None or found.closed:
        # Statements are prepared once they have run five times.
        found = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        found.execute("SET TIME ZONE 'UTC'")
        _held.connection = found
    return found
