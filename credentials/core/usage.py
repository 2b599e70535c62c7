"""When a credential was last opened and put on a request, or handed out."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import IntegrityError, connection

from common.db import dialect
from common.errors import NotFoundError

_TABLE: Final = "credentials_credentialuse"


def mark_used(*, id: uuid.UUID) -> None:
    """Note it, before the upstream or the caller has the secret. Raises NotFound if it is gone.

    It waits for nobody: of uses at the same moment, the one that has the row writes the time for all.
    """
    now = dialect.now_sql()
    try:
        # Outside of a transaction the statement is its own: one round trip instead of three.
        with connection.cursor() as cursor:
            if dialect.is_postgresql():
                cursor.execute(_postgresql(now), [id, id, id])
            else:
                cursor.execute(_sqlite(now), [dialect.adapt(id)])
    except IntegrityError:
        raise NotFoundError() from None


def _postgresql(now: str) -> str:
    """One statement: the row is moved where it is free, and inserted where there is none."""
    return f"""
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


def _sqlite(now: str) -> str:
    return (
        f"INSERT INTO {_TABLE} (credential_id, last_used_at)"  # noqa: S608 - our text
        f" VALUES (%s, {now}) ON CONFLICT (credential_id)"
        " DO UPDATE SET last_used_at = excluded.last_used_at"
    )
