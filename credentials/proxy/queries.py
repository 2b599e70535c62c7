"""Reading what a use needs of a credential: one statement, written out, as every request runs it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection

from common.db.dialect import adapt_all, epoch_sql
from common.db.ids import to_uuid
from credentials.proxy.limits import Rate
from vault.sealing import Place, SealedValue, unseal

_TABLE: Final = "credentials_credential"
_SELECT: Final = """
    SELECT c.id, c.provider, c.kind, c.properties, c.secrets, c.health_status, c.oauth_app_id,
        app.config, policy.credential_id, policy.methods, policy.paths, policy.rate_requests,
        policy.rate_seconds, policy.concurrency, coalesce(allowance.held_until - {now}, 0)
    FROM credentials_credential c
    LEFT JOIN oauth_apps_oauthapp app ON app.id = c.oauth_app_id
    LEFT JOIN proxy_credentialpolicy policy ON policy.credential_id = c.id
    LEFT JOIN proxy_allowance allowance ON allowance.credential_id = c.id
    WHERE c.account_id = %s AND {where} ORDER BY c.id DESC LIMIT 1
"""


class Policy(NamedTuple):
    """As `models.CredentialPolicy`; None: no restriction of that sort."""

    methods: list[str] | None
    paths: list[str] | None
    rate: Rate | None
    concurrency: int | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CredentialRow:
    """A credential, sealed. `held_for`: seconds for which its provider wants to be left alone."""

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
        """The secrets. Raises SecretUnavailable."""
        if self.ciphertext is None:
            return {}
        place = Place(_TABLE, "secrets", str(self.account_id), str(self.id))
        found: dict[str, str] = unseal(place, self.ciphertext)
        return found


def get_by_id(account_id: uuid.UUID, id: uuid.UUID) -> CredentialRow | None:
    return _one(account_id, "c.id = %s", id)


def get_newest(account_id: uuid.UUID, provider: str) -> CredentialRow | None:
    """The credential of the provider that was made last."""
    return _one(account_id, "c.provider = %s", provider)


def get_newest_half(account_id: uuid.UUID, kind: str, name: str) -> CredentialRow | None:
    """The newest of a kind whose property `name` is this."""
    return _one(account_id, "c.kind = %s AND c.properties ->> 'name' = %s", kind, name)


def _one(account_id: uuid.UUID, where: str, *params: Any) -> CredentialRow | None:
    with connection.cursor() as cursor:
        cursor.execute(
            _SELECT.format(now=epoch_sql(), where=where), adapt_all([account_id, *params])
        )
        found = cursor.fetchone()
    return _row(account_id, found) if found else None


def _row(account_id: uuid.UUID, found: tuple[Any, ...]) -> CredentialRow:
    id, provider, kind, properties, secrets, health, app_id, config, *policy, held_for = found
    return CredentialRow(
        account_id=account_id,
        id=to_uuid(id),
        provider=provider,
        kind=kind,
        properties=orjson.loads(properties),
        ciphertext=None if secrets is None else SealedValue(bytes(secrets)),
        health_status=health,
        oauth_app_id=to_uuid(app_id) if app_id else None,
        config=orjson.loads(config) if config else {},
        policy=_policy(*policy),
        pause_seconds=float(held_for),
    )


def _policy(
    id: Any,
    methods: Any,
    paths: Any,
    requests: int | None,
    seconds: int | None,
    at_once: int | None,
) -> Policy | None:
    if id is None:
        return None
    return Policy(
        methods=orjson.loads(methods) if methods else None,
        paths=orjson.loads(paths) if paths else None,
        rate=Rate(requests, seconds) if requests and seconds else None,
        concurrency=at_once,
    )
