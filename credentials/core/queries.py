"""How credentials are read: one statement, JSON spliced as text, no seal opened, nothing computed.

The JSON columns go from the database into the answer without being parsed, which takes a page of
50 a tenth of what model instances and a serializer take (docs/performance.md). Filters and order
come from the queryset; the columns are written here.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any, Final, NamedTuple

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from common.db import dialect
from credentials.core.grant_state import APP_PAUSED_SQL
from credentials.models import Credential
from providers.properties import MASK
from providers.registry import get_registry

_JOINS: Final = f"""
    FROM credentials_credential
    LEFT JOIN oauth_apps_oauthapp app ON app.id = credentials_credential.oauth_app_id
    LEFT JOIN credentials_credentialuse used ON used.credential_id = credentials_credential.id
    LEFT JOIN credentials_apppause pause ON pause.oauth_app_id = app.id
        AND {APP_PAUSED_SQL}
"""
_FORMS: Final = {
    "postgresql": {
        "id": "{0}::text",
        "text": "{0}::text",
        "time": "({0} AT TIME ZONE 'UTC')::text",
    },
    "sqlite": {
        "id": "lower(substr({0},1,8)||'-'||substr({0},9,4)||'-'||substr({0},13,4)||'-'||"
        "substr({0},17,4)||'-'||substr({0},21))",
        "text": "{0}",
        # Of a bare column, the driver would make a datetime.
        "time": "{0} || ''",
    },
}
_COLUMNS: Final = (
    ("id", "credentials_credential.id"),
    ("", "credentials_credential.revision"),
    ("", "credentials_credential.provider"),
    ("", "credentials_credential.kind"),
    ("", "coalesce(nullif(credentials_credential.name, ''), properties ->> 'name')"),
    ("text", "credentials_credential.properties"),
    ("text", "credentials_credential.metadata"),
    ("text", "credentials_credential.health"),
    ("", "nullif(owner_email, '')"),
    ("", "nullif(external_id, '')"),
    ("time", "expires_at"),
    ("time", "used.last_used_at"),
    ("time", "credentials_credential.created_at"),
    ("time", "credentials_credential.updated_at"),
    # Due: the access token has expired, the worker is to get another, or none was ever made.
    (
        "",
        "CASE WHEN refresh_state <> 'active' THEN refresh_state"
        " WHEN pause.code IS NOT NULL THEN 'paused' WHEN lease_until >= {now} THEN 'refreshing'"
        " WHEN coalesce(expires_at <= {now}, refresh_next_at <= {now}, secrets IS NULL) THEN 'due'"
        " ELSE 'fresh' END",
    ),
    ("time", "refresh_last_at"),
    ("time", "refresh_next_at"),
    ("", "coalesce(nullif(refresh_error, ''), pause.code)"),
    ("id", "app.id"),
    ("", "app.name"),
    ("", "app.client_id"),
    ("text", "app.metadata"),
    ("time", "app.created_at"),
    ("time", "app.updated_at"),
)
_ONE_OF: Final = {"postgresql": "= ANY (ARRAY[%s]::uuid[])", "sqlite": "= %s"}
_WHOLE: Final = {len("2026-11-21T09:30:00"), len("2026-11-21T09:30:00.123456")}


class CredentialRepresentation(NamedTuple):
    """A credential as the API shows it."""

    id: str
    revision: int
    document: dict[str, Any]


def fetch_newest(
    account_id: uuid.UUID, count: int, before: uuid.UUID | None = None
) -> list[CredentialRepresentation]:
    """The newest `count` credentials of the account, before the one of that id where it is given.

    The statement never changes but for `count`, so PostgreSQL keeps its plan: making one takes
    longer than reading. Said as here, only the index of account and id gives the order, also where
    one account has nearly all rows and another asks.
    """
    earlier = "AND credentials_credential.id < %s" if before else ""
    sql = f"""{_select(dialect.now_sql())}
        WHERE credentials_credential.account_id {dialect.choose(**_ONE_OF)} {earlier}
        ORDER BY credentials_credential.account_id DESC, credentials_credential.id DESC
        LIMIT {count:d}"""
    return _rows(sql, [dialect.adapt(id) for id in (account_id, before) if id])


def fetch_filtered(
    queryset: QuerySet[Credential], count: int, before: uuid.UUID | None = None
) -> list[CredentialRepresentation]:
    """Like `newest`, of `queryset`, whose own order and columns are not used."""
    if before:
        queryset = queryset.filter(id__lt=before)
    compiler = queryset.query.get_compiler(connection=connection)
    try:
        where, params = compiler.compile(queryset.query.where)
    except EmptyResultSet:
        return []
    select = _select(dialect.now_sql())
    sql = f"{select} WHERE {where} ORDER BY credentials_credential.id DESC LIMIT %s"
    return _rows(sql, [*params, count])


def fetch_one(account_id: uuid.UUID, id: uuid.UUID) -> CredentialRepresentation | None:
    """The credential of this id in this account, read afresh."""
    found = fetch_filtered(Credential.objects.filter(account_id=account_id, id=id), 1)
    return found[0] if found else None


def _rows(sql: str, params: list[Any]) -> list[CredentialRepresentation]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    apps: dict[str, dict[str, Any]] = {}
    return [_shown(row, apps) for row in rows]


@functools.lru_cache(maxsize=8)
def _select(now: str) -> str:
    forms = {"": "{0}", **dialect.choose(**_FORMS)}
    columns = [forms[form].format(column.format(now=now)) for form, column in _COLUMNS]
    return f"SELECT {', '.join(columns)} {_JOINS.format(now=now)}"


def _shown(row: tuple[Any, ...], apps: dict[str, dict[str, Any]]) -> CredentialRepresentation:
    """`apps` holds what the page's other rows have made of their apps: most rows share a few."""
    id, revision, provider, kind, name, properties, metadata, health = row[:8]
    owner_email, external_id, expires_at, last_used_at, created_at, updated_at = row[8:14]
    app_id = row[18]
    app = apps.get(app_id)
    if app is None and app_id is not None:
        app = apps[app_id] = _app(provider, *row[18:])
    document = {
        "id": id,
        "provider": provider,
        "kind": kind,
        "name": name,
        "oauth_app_id": app_id,
        "oauth_app": app or ({"kind": "sequin"} if kind == "stripe_sequin" else None),
        "properties": orjson.Fragment(properties),
        "metadata": orjson.Fragment(metadata),
        "health": orjson.Fragment(health),
        "owner_email": owner_email,
        "external_id": external_id,
        "expires_at": expires_at and _moment(expires_at),
        "refresh": _refresh(*row[14:18]) if _refreshes(kind) else None,
        "last_used_at": last_used_at and _moment(last_used_at),
        "created_at": _moment(created_at),
        "updated_at": _moment(updated_at),
    }
    return CredentialRepresentation(id, revision, document)


def _app(
    provider: str,
    id: str,
    name: str,
    client_id: str,
    metadata: str,
    created_at: str,
    updated_at: str,
) -> dict[str, Any]:
    """The eight documented fields of the embedded app; its provider is the credential's."""
    return {
        "id": id,
        "name": name,
        "client_id": client_id,
        "client_secret": MASK,
        "metadata": orjson.Fragment(metadata),
        "provider": provider,
        "created_at": _moment(created_at),
        "updated_at": _moment(updated_at),
    }


def _moment(stored: str) -> str:
    """Both databases' text of a time in UTC, as `times.iso` writes it: six digits or no fraction."""
    moment = stored.replace(" ", "T")
    return f"{moment}Z" if len(moment) in _WHOLE else f"{moment:0<26}Z"


def _refresh(
    state: str, last_at: str | None, next_at: str | None, error: str | None
) -> dict[str, Any]:
    return {
        "state": state,
        "last_at": last_at and _moment(last_at),
        "next_at": next_at and _moment(next_at),
        "error": error,
    }


@functools.lru_cache(maxsize=1024)
def _refreshes(kind: str) -> bool:
    found = get_registry().get_kind(kind)
    return found is not None and found.refreshes
