"""Search credentials by name, owner, external id, or a property that identifies the upstream account.

The first three match by any part (trigrams, on PostgreSQL); a property matches by its whole value.
"""

from __future__ import annotations

import functools
import operator
import uuid
from typing import Any, Final

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, Q, QuerySet, TextField
from django.db.models.sql.compiler import SQLCompiler

from common.db import dialect
from credentials.models import Credential
from providers.registry import get_registry

MAX_IDENTITY_MATCHES: Final = 1000
"""More credentials than any upstream account has."""

MAX_QUERY_LENGTH: Final = 300


class SearchText(Func):
    """The text that is searched by parts. Migration 0005 indexes this exact expression."""

    function = "lower"
    template = (
        "%(function)s(coalesce(nullif(credentials_credential.name, ''),"
        " credentials_credential.properties ->> 'name', '') || ' ' ||"
        " credentials_credential.owner_email || ' ' || credentials_credential.external_id)"
    )
    arity = 0
    output_field = TextField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: object
    ) -> tuple[str, tuple[str | int, ...]]:
        # SQLite's own function changes ASCII letters only.
        return self.as_sql(compiler, connection, function="latchkey_lower")


def search_credentials(
    queryset: QuerySet[Credential], text: str, *, account_id: uuid.UUID | None = None
) -> QuerySet[Credential]:
    """Return the rows of `queryset` that match `text`.

    `account_id` is the account of its rows, or None if they are of all accounts.
    """
    text = text.strip()[:MAX_QUERY_LENGTH]
    if not text:
        return queryset
    conditions = functools.reduce(operator.or_, _build_conditions(text))
    if account_id is not None:
        # Otherwise the matches of other accounts could be the newest, and hide this account's.
        conditions &= Q(account_id=account_id)
    compiler = Credential.objects.filter(conditions).query.get_compiler(connection=connection)
    where, params = compiler.compile(compiler.query.where)
    # A statement of its own: as a part of the list's query, the planner would scan all rows in the
    # list's order for a value that no row has.
    sql = (
        f"WITH matches AS {dialect.materialized_sql()} (SELECT id FROM credentials_credential WHERE {where})"  # noqa: S608
        f" SELECT id FROM matches ORDER BY id DESC LIMIT {MAX_IDENTITY_MATCHES}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        ids = [id if isinstance(id, uuid.UUID) else uuid.UUID(id) for (id,) in cursor.fetchall()]
    queryset = queryset.alias(search_text=SearchText())
    return queryset.filter(Q(search_text__contains=text.lower()) | Q(pk__in=ids))


def _build_conditions(text: str) -> list[Q]:
    # SQLite has no index for JSON containment, and comparing each field is the faster scan.
    contains = dialect.choose(postgresql="properties__jsoncontains", sqlite=None)
    conditions = []
    for field, form in sorted(identity_fields()):
        values: list[Any] = [text]
        if form == "integer":
            # JSON numbers are exact up to 2^53, which has 16 digits.
            values = [int(text)] if text.isascii() and text.isdigit() and len(text) < 16 else []
        elif form == "host":
            # Such a property has a host name or its https URL.
            values = [text, f"https://{text}"]
        for value in values:
            lookup = {contains: {field: value}} if contains else {f"properties__{field}": value}
            conditions.append(Q(**lookup))
    return conditions


def identity_fields() -> set[tuple[str, str]]:
    """Return the properties that identify upstream accounts, each with its form."""
    kinds = get_registry().kinds.values()
    return {(part.field, part.form) for kind in kinds for part in kind.identity}
