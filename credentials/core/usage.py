"""The time of the last use of a credential: sent upstream by the proxy, or returned to a caller."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import IntegrityError, connection

from common.db import dialect
from common.errors import NotFoundError

_TABLE: Final = "credentials_credentialuse"


def mark_used(*, id: uuid.UUID) -> None:
    """Record a use, before the secret leaves. Raise NotFoundError if the credential is gone."""
    now = dialect.now_sql()
    if dialect.is_postgresql():
        # Inserts a row if there is none. Otherwise updates it, unless it is locked: of concurrent
        # uses, the one that has the lock writes the time for all, so that none waits.
        sql = f"""
            WITH free AS (
                SELECT credential_id FROM {_TABLE} WHERE credential_id = %s FOR UPDATE SKIP LOCKED
            ), moved AS (
                UPDATE {_TABLE} AS use SET last_used_at = {now}
                FROM free WHERE use.credential_id = free.credential_id
            )
            INSERT INTO {_TABLE} (credential_id, last_used_at) SELECT %s, {now}
            WHERE NOT EXISTS (SELECT FROM {_TABLE} WHERE credential_id = %s)
            ON CONFLICT (credential_id) DO NOTHING
        """  # noqa: S608 - our text
        params: list[Any] = [id, id, id]
    else:
        sql = (
            f"INSERT INTO {_TABLE} (credential_id, last_used_at)"  # noqa: S608 - our text
            f" VALUES (%s, {now}) ON CONFLICT (credential_id)"
            " DO UPDATE SET last_used_at = excluded.last_used_at"
        )
        params = [dialect.adapt(id)]
    try:
        # Outside of a transaction, the statement is its own: one round trip instead of three.
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
    except IntegrityError:
        raise NotFoundError() from None
