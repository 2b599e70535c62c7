"""One box finds a credential by its name, its owner, its id, or what its provider calls it.

A part of the name, of the owner's address or of the external id will do (trigrams, on PostgreSQL);
an identity in the properties has to be the whole value.
"""

from __future__ import annotations

import functools
import operator
import uuid
from typing import Any, Final

from django.db import connection
from django.db.models import Func, Q, QuerySet, TextField

from common.db import dialect
from common.db.planner import force_custom_plan
from credentials.models import Credential
from providers.registry import get_registry

MAX_IDENTITY_MATCHES: Final = 1000
"""How many that have the typed identity are shown: more of one upstream account there are not."""

MAX_QUERY_LENGTH: Final = 300


class SearchText(Func):
    """What is searched by parts. Migration 0005 has an index on this very expression."""

    template = (
        "lower(coalesce(nullif(credentials_credential.name, ''),"
        " credentials_credential.properties ->> 'name', '') || ' ' ||"
        " credentials_credential.owner_email || ' ' || credentials_credential.external_id)"
    )
    arity = 0
    output_field = TextField()


def search_credentials(queryset: QuerySet[Credential], typed: str) -> QuerySet[Credential]:
    """The rows of `queryset` that match."""
    typed = typed.strip()[:MAX_QUERY_LENGTH]
    if not typed:
        return queryset
    queryset = queryset.alias(searched=SearchText())
    return queryset.filter(Q(searched__contains=typed.lower()) | Q(pk__in=_identified(typed)))


def _identified(typed: str) -> list[uuid.UUID]:
    """The ids of the newest rows that have `typed` in an identity field.

    A question of its own, answered from the index: joined to the list's, the planner would rather
    walk all rows in the list's order, for a value that none of them has.
    """
    conditions = functools.reduce(operator.or_, _conditions(typed))
    compiler = Credential.objects.filter(conditions).query.get_compiler(connection=connection)
    where, params = compiler.compile(compiler.query.where)
    sql = (
        f"WITH found AS {dialect.materialized_sql()} (SELECT id FROM credentials_credential WHERE {where})"  # noqa: S608
        f" SELECT id FROM found ORDER BY id DESC LIMIT {MAX_IDENTITY_MATCHES}"
    )
    with force_custom_plan(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [id if isinstance(id, uuid.UUID) else uuid.UUID(id) for (id,) in cursor.fetchall()]


def _conditions(typed: str) -> list[Q]:
    # SQLite has no index for containment: there, one look at each field is the quicker way.
    contains = "properties__jsoncontains" if dialect.is_postgresql() else None
    conditions = []
    for field, form in sorted(identity_fields()):
        values: list[Any] = [typed]
        if form == "integer":
            values = [int(typed)] if typed.isascii() and typed.isdigit() and len(typed) < 16 else []
        elif form == "host":
            values = [typed, f"https://{typed}"]
        for value in values:
            sought = {contains: {field: value}} if contains else {f"properties__{field}": value}
            conditions.append(Q(**sought))
    return conditions


def identity_fields() -> set[tuple[str, str]]:
    """The properties by which providers tell their accounts apart, each with its form."""
    kinds = get_registry().kinds.values()
    return {(part.field, part.form) for kind in kinds for part in kind.identity}
