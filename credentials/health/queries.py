"""Reading and writing one credential's row with its probe state, as often as grants are refreshed.

The statements are written out: making them from querysets takes longer than running them.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.db import connection, models

from common.db import dialect
from common.db.clock import to_datetime
from credentials.core.columns import get_columns_except
from credentials.health.models import ProbeState
from credentials.models import Credential

_COLUMNS: Final = get_columns_except("secrets", "previous", "metadata")
_COUNTS: Final = ("failures", "cause")
_TIMES: Final = ("silent_since", "answered_at", "unavailable_at", "granted_at")


class LockedCredential(NamedTuple):
    """A locked row, its probe state (unsaved where there is none yet), and the database's time.

    `gated`: whether its provider has a ProviderGate.
    """

    row: Credential
    state: ProbeState
    now: dt.datetime
    has_gate: bool


def lock_with_probe_state(account_id: uuid.UUID, id: uuid.UUID) -> LockedCredential | None:
    """The credential with all that health decides by, locked until the transaction ends.

    Its seals and metadata are left out.
    """
    params = [dialect.adapt(id), dialect.adapt(account_id)]
    row: Any = next(iter(Credential.objects.raw(_text(dialect.now_sql()), params)), None)
    if row is None:
        return None
    now: dt.datetime = to_datetime(row.now)
    return LockedCredential(row, _state(row, now), now, bool(row.gated))


def update_row(model: type[models.Model], id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """One UPDATE of one row: fields to plain values, no expressions."""
    params = [
        _field(model, name).get_db_prep_save(value, connection) for name, value in values.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(_update_sql(model, tuple(values)), [*params, dialect.adapt(id)])


def _state(row: Any, now: dt.datetime) -> ProbeState:
    state = ProbeState(
        credential_id=row.id, account_id=row.account_id, provider=row.provider, next_at=now
    )
    if row.probe_cause is None:
        return state
    state._state.adding = False
    for name in _COUNTS:
        setattr(state, name, getattr(row, f"probe_{name}"))
    for name in _TIMES:
        setattr(state, name, to_datetime(getattr(row, f"probe_{name}")))
    return state


@functools.lru_cache(maxsize=8)
def _text(now: str) -> str:
    mine = ", ".join(f"credentials_credential.{name}" for name in _COLUMNS)
    probed = ", ".join(f"probe.{name} AS probe_{name}" for name in (*_COUNTS, *_TIMES))
    # Others may refer to the row meanwhile; on SQLite one writer locks all.
    lock = dialect.lock_sql("FOR NO KEY UPDATE", of="credentials_credential")
    return f"""
        SELECT {mine}, {probed}, {now} AS now, EXISTS (
            SELECT 1 FROM health_providergate gate
            WHERE gate.provider = credentials_credential.provider
        ) AS gated
        FROM credentials_credential
        LEFT JOIN health_probestate probe ON probe.credential_id = credentials_credential.id
        WHERE credentials_credential.id = %s AND credentials_credential.account_id = %s {lock}
    """  # noqa: S608 - our own names and clock


@functools.lru_cache(maxsize=64)
def _update_sql(model: type[models.Model], names: tuple[str, ...]) -> str:
    columns = ", ".join(f"{_field(model, name).column} = %s" for name in names)
    return f"UPDATE {model._meta.db_table} SET {columns} WHERE {model._meta.pk.column} = %s"  # noqa: S608


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)
