"""Statements for one credential, its probe state and its history, which run with every refresh.

They are written out, because building them from querysets takes longer than running them.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db import connection, models

from common.db import bulk_insert, dialect
from common.db.clock import to_datetime
from common.db.ids import uuid7
from credentials.core.columns import get_columns_except
from credentials.health.evidence import Evidence
from credentials.health.models import ProbeState
from credentials.models import Credential
from events.services import EventTarget, NewEvent

_COLUMNS: Final = get_columns_except("secrets", "metadata")
_CHANGE_COLUMNS: Final = {
    "id": "uuid",
    "account_id": "uuid",
    "target_type": "text",
    "target_id": "uuid",
    "before": "text",
    "after": "text",
    "source": "text",
    "code": "text",
    "note": "text",
}
_COUNTS: Final = ("failures", "cause", "lost_scopes")
_TIMES: Final = ("silent_since", "answered_at", "unavailable_at", "granted_at")


class LockedCredential(NamedTuple):
    """A locked row, its probe state, and the database's time.

    `state` is unsaved if there is none yet. `has_gate` tells whether its provider has a ProviderGate.
    """

    row: Credential
    state: ProbeState
    now: dt.datetime
    has_gate: bool


def lock_with_probe_state(account_id: uuid.UUID, id: uuid.UUID) -> LockedCredential | None:
    """Return the credential without secrets and metadata, locked until the transaction ends."""
    params = dialect.adapt_all([id, account_id])
    sql = _build_lock_sql(dialect.now_sql())
    row: Any = next(iter(Credential.objects.raw(sql, params)), None)
    if row is None:
        return None
    now: dt.datetime = to_datetime(row.now)
    state = ProbeState(
        credential_id=row.id, account_id=row.account_id, provider=row.provider, next_at=now
    )
    if row.probe_cause is not None:
        state._state.adding = False
        for name in _COUNTS:
            setattr(state, name, getattr(row, f"probe_{name}"))
        for name in _TIMES:
            setattr(state, name, to_datetime(getattr(row, f"probe_{name}")))
    return LockedCredential(row, state, now, bool(row.has_gate))


def update_row(
    model: type[models.Model],
    id: uuid.UUID,
    values: Mapping[str, Any],
    conditions: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Update one row if its fields equal `conditions`. Return False if there is no such row.

    Both map fields to plain values, not to expressions.
    """
    sql, fields = _build_update_sql(model, tuple(values), tuple(conditions))
    params = [
        field.get_db_prep_save(value, connection)
        for field, value in zip(fields, [*values.values(), *conditions.values()], strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, dialect.adapt(id)])
        return bool(cursor.rowcount)


def record_status_change(
    target: EventTarget, before: str, health: Mapping[str, Any], evidence: Evidence
) -> NewEvent:
    """Store one change of status, in the transaction that makes it and under the row's lock.

    Returns its event, which the caller records by `record_changes` in the same transaction.
    """
    row = (
        uuid7(),
        target.account_id,
        target.type,
        target.id,
        before,
        health["status"],
        evidence.source,
        evidence.code[:64],
        health["notes"][0] if health["notes"] else "",
    )
    bulk_insert.insert_rows("health_healthchange", _CHANGE_COLUMNS, [row])
    return NewEvent(f"{target.type}.health_changed", target.id, ["health"])


@functools.lru_cache(maxsize=8)
def _build_lock_sql(now: str) -> str:
    columns = ", ".join(f"credentials_credential.{name}" for name in _COLUMNS)
    probe_columns = ", ".join(f"probe.{name} AS probe_{name}" for name in (*_COUNTS, *_TIMES))
    # FOR NO KEY UPDATE lets other transactions insert rows that refer to this one.
    lock = dialect.lock_sql("FOR NO KEY UPDATE", of="credentials_credential")
    return f"""
        SELECT {columns}, {probe_columns}, {now} AS now, EXISTS (
            SELECT 1 FROM health_providergate gate
            WHERE gate.provider = credentials_credential.provider
        ) AS has_gate
        FROM credentials_credential
        LEFT JOIN health_probestate probe ON probe.credential_id = credentials_credential.id
        WHERE credentials_credential.id = %s AND credentials_credential.account_id = %s {lock}
    """  # noqa: S608 - our own names and clock


@functools.lru_cache(maxsize=64)
def _build_update_sql(
    model: type[models.Model], names: tuple[str, ...], conditions: tuple[str, ...]
) -> tuple[str, list[models.Field[Any, Any]]]:
    fields: list[Any] = [model._meta.get_field(name) for name in (*names, *conditions)]
    columns = [f"{field.column} = %s" for field in fields]
    where = " AND ".join([*columns[len(names) :], f"{model._meta.pk.column} = %s"])
    sql = f"UPDATE {model._meta.db_table} SET {', '.join(columns[: len(names)])} WHERE {where}"  # noqa: S608
    return sql, fields
