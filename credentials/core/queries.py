"""Reading credentials as the API shows them: one statement, without decrypting or computing anything.

The JSON columns go from the database into the response as text. A page of 50 takes a tenth of what
model instances and a serializer take (docs/performance.md). Filters come from a queryset; the
columns are written here.
"""

from __future__ import annotations

import functools
import uuid
from typing import Annotated, Any, Final, NamedTuple

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from common.db import dialect
from common.db.planner import Statement, fetch_list_in_order, keep_plan
from credentials.core.columns import Sql, read_select_list
from credentials.core.displayed_health import REJECTED_PAUSE_SQL, add_doubt_note, display_health
from credentials.core.refresh_state import build_state_sql
from credentials.models import Credential
from providers.properties import MASK
from providers.registry import get_registry

_JOINS: Final = f"""
    FROM credentials_credential
    LEFT JOIN credentials_grant ON credentials_grant.id = credentials_credential.grant_id
    LEFT JOIN oauth_apps_oauthapp app ON app.id = credentials_credential.oauth_app_id
    LEFT JOIN credentials_credentialuse used ON used.credential_id = credentials_credential.id
    LEFT JOIN credentials_apppause pause ON pause.oauth_app_id = app.id
        AND {REJECTED_PAUSE_SQL}
"""
_FORMS: Final = {
    "postgresql": {
        "id": "{0}::text",
        "json": "{0}::text",
        "time": "({0} AT TIME ZONE 'UTC')::text",
    },
    "sqlite": {
        "id": "lower(substr({0},1,8)||'-'||substr({0},9,4)||'-'||substr({0},13,4)||'-'||"
        "substr({0},17,4)||'-'||substr({0},21))",
        "json": "{0}",
        # The driver would make a datetime of a bare column.
        "time": "{0} || ''",
    },
}
# An array of one id: with `= %s` PostgreSQL prefers a plan that sorts, see `fetch_newest`.
_ONE_OF: Final = {"postgresql": "= ANY (ARRAY[%s]::uuid[])", "sqlite": "= %s"}
_COMPLETE_LENGTHS: Final = {len("2026-11-21T09:30:00"), len("2026-11-21T09:30:00.123456")}


class _Row(NamedTuple):
    """A row of the list. JSON and times are text."""

    id: Annotated[str, Sql("credentials_credential.id", "id")]
    revision: Annotated[int, Sql("credentials_credential.revision")]
    provider: Annotated[str, Sql("credentials_credential.provider")]
    kind: Annotated[str, Sql("credentials_credential.kind")]
    name: Annotated[
        str | None, Sql("coalesce(nullif(credentials_credential.name, ''), properties ->> 'name')")
    ]
    properties: Annotated[str, Sql("credentials_credential.properties", "json")]
    metadata: Annotated[str, Sql("credentials_credential.metadata", "json")]
    health: Annotated[str, Sql("credentials_credential.health", "json")]
    owner_email: Annotated[str | None, Sql("nullif(owner_email, '')")]
    external_id: Annotated[str | None, Sql("nullif(external_id, '')")]
    expires_at: Annotated[str | None, Sql("credentials_credential.expires_at", "time")]
    last_used_at: Annotated[str | None, Sql("used.last_used_at", "time")]
    created_at: Annotated[str, Sql("credentials_credential.created_at", "time")]
    updated_at: Annotated[str, Sql("credentials_credential.updated_at", "time")]
    refresh_state: Annotated[str | None, Sql("{refresh_state}")]
    refresh_last_at: Annotated[str | None, Sql("credentials_grant.last_at", "time")]
    refresh_next_at: Annotated[str | None, Sql("credentials_grant.next_at", "time")]
    refresh_error: Annotated[
        str | None, Sql("coalesce(nullif(credentials_grant.error, ''), {pause_code})")
    ]
    app_id: Annotated[str | None, Sql("app.id", "id")]
    app_name: Annotated[str | None, Sql("app.name")]
    app_client_id: Annotated[str | None, Sql("app.client_id")]
    app_metadata: Annotated[str, Sql("app.metadata", "json")]
    app_created_at: Annotated[str, Sql("app.created_at", "time")]
    app_updated_at: Annotated[str, Sql("app.updated_at", "time")]
    app_pauses: Annotated[int | None, Sql("pause.pauses")]
    app_rejected_at: Annotated[str | None, Sql("pause.rejected_at", "time")]


class CredentialRepresentation(NamedTuple):
    """A credential as the API shows it."""

    id: str
    revision: int
    document: dict[str, Any]


def fetch_newest(
    account_id: uuid.UUID, count: int, before: uuid.UUID | None = None
) -> list[CredentialRepresentation]:
    """Return the newest `count` credentials of the account, or those older than `before`."""
    # The text changes with `count` alone, so PostgreSQL keeps its plan: making one takes longer
    # than reading. Both columns in ORDER BY leave it one index, also for a very large account.
    earlier = "AND credentials_credential.id < %s" if before else ""
    sql = f"""{_select()}
        WHERE credentials_credential.account_id {dialect.choose(**_ONE_OF)} {earlier}
        ORDER BY credentials_credential.account_id DESC, credentials_credential.id DESC
        LIMIT {count:d}"""
    return _fetch_rows(keep_plan(sql), dialect.adapt_all(id for id in (account_id, before) if id))


def fetch_filtered(
    queryset: QuerySet[Credential], count: int, before: uuid.UUID | None = None
) -> list[CredentialRepresentation]:
    """Return the newest `count` credentials of `queryset`, or those older than `before`.

    The order and the columns of `queryset` are not used. Its rows are all of one account. Raise
    ServiceUnavailableError if that takes too long.
    """
    if before:
        queryset = queryset.filter(id__lt=before)
    compiler = queryset.query.get_compiler(connection=connection)
    try:
        where, params = compiler.compile(queryset.query.where)
    except EmptyResultSet:
        return []
    newest = "ORDER BY credentials_credential.account_id DESC, credentials_credential.id DESC"
    ordered = f"{_select()} WHERE {where} {newest} LIMIT %s"
    # Finding all matches first, PostgreSQL combines the indexes of several filters.
    matches = f"""SELECT credentials_credential.id FROM credentials_credential
        LEFT JOIN credentials_grant ON credentials_grant.id = credentials_credential.grant_id
        WHERE {where}"""  # noqa: S608
    by_matches = f"""WITH matches AS {dialect.materialized_sql()} ({matches}) {_select()}
        WHERE credentials_credential.id IN (SELECT id FROM matches ORDER BY id DESC LIMIT %s)
        {newest}"""  # noqa: S608
    values = [*params, count]
    return _represent_rows(
        fetch_list_in_order(Statement(ordered, values), Statement(by_matches, values))
    )


def fetch_one(account_id: uuid.UUID, id: uuid.UUID) -> CredentialRepresentation | None:
    """Return the account's credential as it is now, None if there is none."""
    sql = f"""{_select()}
        WHERE credentials_credential.account_id = %s AND credentials_credential.id = %s"""
    rows = _fetch_rows(sql, dialect.adapt_all((account_id, id)))
    return rows[0] if rows else None


def _fetch_rows(sql: str, params: list[Any]) -> list[CredentialRepresentation]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return _represent_rows(cursor.fetchall())


def _represent_rows(rows: list[tuple[Any, ...]]) -> list[CredentialRepresentation]:
    apps: dict[str, orjson.Fragment] = {}
    return [_represent(_Row._make(row), apps) for row in rows]


def _select() -> str:
    return _build_select(dialect.now_sql(), build_state_sql("pause.until > {now}"))


@functools.lru_cache(maxsize=8)
def _build_select(now: str, refresh_state: str) -> str:
    pause_code = f"CASE WHEN pause.until > {now} THEN pause.code END"
    forms = {"": "{0}", **dialect.choose(**_FORMS)}
    columns = [
        forms[sql.form].format(sql.text.format(refresh_state=refresh_state, pause_code=pause_code))
        for sql in read_select_list(_Row)
    ]
    return f"SELECT {', '.join(columns)} {_JOINS}"


def _represent(row: _Row, apps: dict[str, orjson.Fragment]) -> CredentialRepresentation:
    # The rows of a page share a few apps, so the JSON of each is made once and kept in `apps`.
    app = apps.get(row.app_id) if row.app_id else None
    if app is None and row.app_id is not None:
        app = apps[row.app_id] = orjson.Fragment(orjson.dumps(_represent_app(row)))
    refresh = None
    if row.refresh_state and _is_refreshed(row.kind):
        refresh = {
            "state": row.refresh_state,
            "last_at": row.refresh_last_at and _format_time(row.refresh_last_at),
            "next_at": row.refresh_next_at and _format_time(row.refresh_next_at),
            "error": row.refresh_error,
        }
    document = {
        "id": row.id,
        "provider": row.provider,
        "kind": row.kind,
        "name": row.name,
        "oauth_app_id": row.app_id,
        "oauth_app": app or ({"kind": "sequin"} if row.kind == "stripe_sequin" else None),
        "properties": orjson.Fragment(row.properties),
        "metadata": orjson.Fragment(row.metadata),
        "health": _represent_health(row),
        "owner_email": row.owner_email,
        "external_id": row.external_id,
        "expires_at": row.expires_at and _format_time(row.expires_at),
        "refresh": refresh,
        "last_used_at": row.last_used_at and _format_time(row.last_used_at),
        "created_at": _format_time(row.created_at),
        "updated_at": _format_time(row.updated_at),
    }
    return CredentialRepresentation(row.id, row.revision, document)


def _represent_health(row: _Row) -> orjson.Fragment | dict[str, Any]:
    is_in_doubt = row.refresh_state == "in_doubt"
    is_rejected = bool(row.app_pauses) and row.app_name is not None
    if not is_in_doubt and not is_rejected:
        return orjson.Fragment(row.health)
    health = orjson.loads(row.health)
    if is_rejected:
        rejected_at = row.app_rejected_at and _format_time(row.app_rejected_at)
        health = display_health(
            health, row.kind, app_name=str(row.app_name), rejected_at=rejected_at
        )
    return add_doubt_note(health) if is_in_doubt else health


def _represent_app(row: _Row) -> dict[str, Any]:
    """Return the eight documented fields of the embedded app. Its provider is the credential's."""
    return {
        "id": row.app_id,
        "name": row.app_name,
        "client_id": row.app_client_id,
        "client_secret": MASK,
        "metadata": orjson.Fragment(row.app_metadata),
        "provider": row.provider,
        "created_at": _format_time(row.app_created_at),
        "updated_at": _format_time(row.app_updated_at),
    }


def _format_time(text: str) -> str:
    """Return a database's text of a UTC time as `format_rfc3339` does: six digits or no fraction."""
    if len(text) in _COMPLETE_LENGTHS:
        return f"{text[:10]}T{text[11:]}Z"
    return f"{text[:10]}T{text[11:]:0<15}Z"


@functools.lru_cache(maxsize=1024)
def _is_refreshed(kind_name: str) -> bool:
    kind = get_registry().get_kind(kind_name)
    return kind is not None and kind.refreshes
