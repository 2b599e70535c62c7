"""The floor of the proxy: pass a request on and commit one insert. The same server, the same client out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import psycopg_pool

from config.env import PROXY_THREADS
from egress import Client, Request, Timeouts

UPSTREAM = os.environ["BENCH_UPSTREAM"]
LIMITS = Timeouts(total=3600, read=600, max_body_bytes=None)

_client = Client(
    allow=frozenset({("127.0.0.1", int(UPSTREAM.rpartition(":")[2]))}), per_host=PROXY_THREADS
)
_pool = psycopg_pool.ConnectionPool(
    os.environ["DATABASE_URL"], min_size=1, max_size=8, kwargs={"autocommit": True}, open=True
)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    request = Request(method="GET", url=UPSTREAM + environ["RAW_URI"])
    with _client.relay(request, encodings="identity", timeouts=LIMITS) as response:
        with _pool.connection() as connection:
            connection.execute(
                "INSERT INTO bench_use (path, status) VALUES (%s, %s)",
                [environ["RAW_URI"], response.status],
            )
        start_response(f"{response.status} OK", [(n.title(), v) for n, v in response.headers])
        yield from response
