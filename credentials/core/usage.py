"""The time of the last use of a credential: sent upstream by the proxy, or returned to a caller."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import IntegrityError, connection

from common.db import dialect
from common.errors import NotFoundError

_UPSERT: Final = {
    # Inserts a row if there is none. Otherwise updates it, unless it is locked: of concurrent uses,
    # the one that has the lock writes the time for all, so that none waits.
    "postgresql": """
        WITH free AS (
            SELECT credential_id FROM credentials_credentialuse WHERE credential_id = %(id)s
            FOR UPDATE SKIP LOCKED
        ), moved AS (
            UPDATE credentials_credentialuse AS use SET last_used_at = {now}
            FROM free WHERE use.credential_id = free.credential_id
        )
        INSERT INTO credentials_credentialuse (credential_id, last_used_at) SELECT %(id)s, {now}
        WHERE NOT EXISTS (SELECT FROM credentials_credentialuse WHERE credential_id = %(id)s)
        ON CONFLICT (credential_id) DO NOTHING
    """,
    "sqlite": """
        INSERT INTO credentials_credentialuse (credential_id, last_used_at) VALUES (%(id)s, {now})
        ON CONFLICT (credential_id) DO UPDATE SET last_used_at = excluded.last_used_at
    """,
}


def mark_used(*, id: uuid.UUID) -> None:
    """Record a use, before the secret leaves. Raise NotFoundError if the credential is gone."""
    try:
        # Outside of a transaction, the statement is its own: one round trip instead of three.
        with connection.cursor() as cursor:
            cursor.execute(
                dialect.choose(**_UPSERT).format(now=dialect.now_sql()), {"id": dialect.adapt(id)}
            )
    except IntegrityError:
        raise NotFoundError() from None
