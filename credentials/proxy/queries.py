"""The statement that reads a credential for the proxy. Each request runs it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import orjson
from django.db import connection

from common.db.dialect import adapt_all, epoch_sql
from common.db.ids import to_uuid
from credentials.core.columns import Sql, read_select_list
from credentials.core.encryption import decrypt_ciphertext
from credentials.proxy.limits import Rate
from vault.sealing import SealedValue

_FROM: Final = """
    FROM credentials_credential c
    LEFT JOIN oauth_apps_oauthapp app ON app.id = c.oauth_app_id
    LEFT JOIN proxy_credentialpolicy policy ON policy.credential_id = c.id
    LEFT JOIN proxy_allowance allowance ON allowance.credential_id = c.id
    WHERE c.account_id = %s AND {where}
"""
_NEWEST: Final = "ORDER BY c.account_id DESC, c.id DESC LIMIT 1"


class _Row(NamedTuple):
    """A row as the database returns it. JSON is text; ids are text on SQLite."""

    id: Annotated[uuid.UUID | str, Sql("c.id")]
    provider: Annotated[str, Sql("c.provider")]
    kind: Annotated[str, Sql("c.kind")]
    properties: Annotated[str, Sql("c.properties")]
    secrets: Annotated[bytes | None, Sql("c.secrets")]
    health_status: Annotated[str, Sql("c.health_status")]
    oauth_app_id: Annotated[uuid.UUID | str | None, Sql("c.oauth_app_id")]
    config: Annotated[str | None, Sql("app.config")]
    policy_id: Annotated[uuid.UUID | str | None, Sql("policy.credential_id")]
    methods: Annotated[str | None, Sql("policy.methods")]
    paths: Annotated[str | None, Sql("policy.paths")]
    rate_requests: Annotated[int | None, Sql("policy.rate_requests")]
    rate_seconds: Annotated[int | None, Sql("policy.rate_seconds")]
    concurrency: Annotated[int | None, Sql("policy.concurrency")]
    pause_seconds: Annotated[float, Sql("coalesce(allowance.held_until - {now}, 0)")]


# Hand-written, as the ORM takes longer to build this statement than the database to run it.
_SELECT: Final = f"SELECT {', '.join(sql.text for sql in read_select_list(_Row))} {_FROM}"


class Policy(NamedTuple):
    """A row of `models.CredentialPolicy`. None: no restriction of that kind."""

    methods: list[str] | None
    paths: list[str] | None
    rate: Rate | None
    concurrency: int | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CredentialRow:
    """A stored credential.

    `pause_seconds` is the rest of a pause that its provider requested, and not positive without one.
    """

    account_id: uuid.UUID
    id: uuid.UUID
    provider: str
    kind: str
    properties: Mapping[str, Any]
    ciphertext: SealedValue | None
    health_status: str
    oauth_app_id: uuid.UUID | None
    config: Mapping[str, Any]
    policy: Policy | None
    pause_seconds: float

    def decrypt_secrets(self) -> dict[str, str]:
        """Return the secrets. Raises SecretUnavailableError."""
        return decrypt_ciphertext(self.account_id, self.id, self.ciphertext)


def get_by_id(account_id: uuid.UUID, id: uuid.UUID) -> CredentialRow | None:
    return _get_one(account_id, "c.id = %s", id)


def get_newest(account_id: uuid.UUID, provider: str) -> CredentialRow | None:
    """Return the provider's credential that was created last."""
    return _get_one(account_id, f"c.provider = %s {_NEWEST}", provider)


def get_newest_half(account_id: uuid.UUID, kind: str, name: str) -> CredentialRow | None:
    """Return the newest credential of a kind with this value of the property `name`."""
    where = f"c.kind = %s AND c.properties ->> 'name' = %s {_NEWEST}"
    return _get_one(account_id, where, kind, name)


def _get_one(account_id: uuid.UUID, where: str, *params: object) -> CredentialRow | None:
    with connection.cursor() as cursor:
        sql = _SELECT.format(now=epoch_sql(), where=where)
        cursor.execute(sql, adapt_all([account_id, *params]))
        columns = cursor.fetchone()
    if columns is None:
        return None
    row = _Row(*columns)
    policy = None
    if row.policy_id is not None:
        policy = Policy(
            methods=orjson.loads(row.methods) if row.methods else None,
            paths=orjson.loads(row.paths) if row.paths else None,
            rate=Rate(row.rate_requests, row.rate_seconds)
            if row.rate_requests and row.rate_seconds
            else None,
            concurrency=row.concurrency,
        )
    return CredentialRow(
        account_id=account_id,
        id=to_uuid(row.id),
        provider=row.provider,
        kind=row.kind,
        properties=orjson.loads(row.properties),
        ciphertext=None if row.secrets is None else SealedValue(bytes(row.secrets)),
        health_status=row.health_status,
        oauth_app_id=to_uuid(row.oauth_app_id) if row.oauth_app_id else None,
        config=orjson.loads(row.config) if row.config else {},
        policy=policy,
        pause_seconds=float(row.pause_seconds),
    )
