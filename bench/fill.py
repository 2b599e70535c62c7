"""A database with many credentials of one account, made as an import makes them and put in by COPY."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from django.conf import settings

from bench.bodies import APPS, body
from bench.rows import copy_in, sealed_row
from credentials.core.columns import TABLE
from credentials.imports.row_writes import build_row_values

PROCESSES = 2
SPAN = dt.timedelta(days=365)
"""Ids and creation times are spread evenly over the year before the fill."""


class Filled(NamedTuple):
    account_id: uuid.UUID
    token: str
    apps: dict[str, uuid.UUID]
    count: int
    start: dt.datetime

    def get_created_at(self, number: int) -> dt.datetime:
        return self.start + SPAN * number / self.count

    def id(self, number: int) -> uuid.UUID:
        """Build a UUIDv7 of that time. The same number has the same id, so that pages can be found."""
        stamp = int(self.get_created_at(number).timestamp() * 1000)
        rest = random.Random(number).getrandbits(62)
        return uuid.UUID(int=stamp << 80 | 7 << 76 | number % 4096 << 64 | 2 << 62 | rest)


def prepare() -> None:
    """Migrate, and let the vault make its keys."""
    from django.core.management import call_command

    from vault.services import verify_keyring

    call_command("migrate", verbosity=0)
    verify_keyring()


def fill(count: int) -> Filled:
    """Migrate, make an account, a token and OAuth apps by the services, and copy `count` rows in."""
    from django.db import connection

    prepare()
    filled = _account(count)
    # The children inherit Django and its settings, and must not inherit a database socket.
    connection.close()
    connection.close_pool()
    started = time.monotonic()
    indexes = _without_indexes()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        shares = [pool.submit(_copy_share, filled, first) for first in range(PROCESSES)]
        for share in shares:
            share.result()
    _finish(filled, indexes)
    print(f"{count:,} credentials in {time.monotonic() - started:.0f} s")
    return filled


def _without_indexes() -> list[str]:
    """Drop the table's indexes but the unique ones, as they are made quicker after the rows."""
    found = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as direct:
        indexes = dict(direct.execute(found, [TABLE]).fetchall())
        dropped = {name: sql for name, sql in indexes.items() if " UNIQUE " not in sql}
        for name in dropped:
            direct.execute(f"DROP INDEX {name}")
    return list(dropped.values())


def _finish(filled: Filled, indexes: list[str]) -> None:
    """Make the indexes, the times of use of a fifth of the rows, and the planner's statistics."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as direct:
        direct.execute("SET maintenance_work_mem = '256MB'")
        for sql in indexes:
            direct.execute(sql)
        direct.execute(
            "INSERT INTO credentials_credentialuse (credential_id, last_used_at)"
            f" SELECT id, now() FROM {TABLE} WHERE account_id = %s AND hashtext(id::text) %% 5 = 0",
            [filled.account_id],
        )
        direct.execute("VACUUM (ANALYZE)")


def _account(count: int) -> Filled:
    from accounts.services import account_create, token_create
    from common.actors import get_command_actor
    from common.scopes import ALL
    from oauth_apps.services import oauth_app_create

    actor = get_command_actor("bench")
    account = account_create(name=f"Bench {uuid.uuid4().hex}", actor=actor)
    _, held = token_create(account_id=account.id, name="bench", scopes=ALL, actor=actor)
    apps = {
        provider: oauth_app_create(
            account_id=account.id,
            actor=actor,
            provider=provider,
            name=f"Acme - {provider}",
            client_id=f"client-{provider}",
            client_secret="app-secret",
            metadata={"team": "growth"},
        )
        for provider in APPS
    }
    return Filled(account.id, held, apps, count, dt.datetime.now(dt.UTC) - SPAN)


def _copy_share(filled: Filled, first: int) -> None:
    """Every PROCESSES-th row. Sealed with the second suite, which is the quicker one."""
    settings.VAULT_SUITE = "2"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("SET synchronous_commit = off")
        copy_in(connection, TABLE, _rows(filled, first))
        # Their next refresh is far away, as no worker runs.
        connection.execute(
            "INSERT INTO credentials_grant (id, account_id, oauth_app_id, next_at)"
            f" SELECT grant_id, account_id, oauth_app_id, now() + interval '1 hour' FROM {TABLE}"
            " credential WHERE account_id = %s AND grant_id IS NOT NULL AND NOT EXISTS"
            " (SELECT FROM credentials_grant WHERE id = credential.grant_id)",
            [filled.account_id],
        )


def _rows(filled: Filled, first: int) -> Iterator[tuple[Any, ...]]:
    for number in range(first, filled.count, PROCESSES):
        created_at = filled.get_created_at(number)
        sent = body(number, filled.apps)
        write = sealed_row(sent, filled.account_id, id=filled.id(number), created_at=created_at)
        row = write.row._replace(health={**write.row.health, "status": _status(number)})
        yield build_row_values(replace(write, row=row), filled.account_id, created_at)


def _status(number: int) -> str:
    """Nine in ten are well; errors are one in a thousand."""
    if number % 1000 == 7:
        return "error"
    return "warn" if number % 20 == 3 else "unknown" if number % 20 == 13 else "ok"
