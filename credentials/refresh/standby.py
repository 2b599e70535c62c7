"""Responses that are kept until a standby of the database has them (SPOOL_STANDBY_SECONDS).

An asynchronous failover loses the last commits, and with them the only copy of grants that the
provider has just issued. With this setting, each stored response is also an encrypted file, until a
standby has replayed its commit. After a failover the files are stored again.
"""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from django.conf import settings
from django.db import DatabaseError

from common.db import dialect
from common.periodic_tasks import PeriodicTask
from credentials.models import Credential
from credentials.refresh import spool
from credentials.refresh.token_update import TokenUpdate
from credentials.refresh.types import RefreshClaim

log = structlog.get_logger(__name__)

MAX_FILES: Final = 20_000
"""Files that are kept at most on one machine. Later responses are not kept."""

_SUFFIX: Final = ".kept"
_RELEASE_EVERY: Final = 10.0

_lock = threading.Lock()
_released_at = [0.0]


class _KeptFile(NamedTuple):
    """`name` is that of the spool file which it becomes after a failover."""

    path: Path
    name: str
    id: uuid.UUID
    generation: int
    position: int


def keep_response(claim: RefreshClaim, update: TokenUpdate) -> None:
    """Keep a response that was just stored, if the setting says so. Raises nothing."""
    if not settings.SPOOL_STANDBY_SECONDS:
        return
    try:
        position = _fetch_position("pg_current_wal_insert_lsn()")
        if position is None:
            return  # SQLite has no standby.
        spool.write_response(claim, update, suffix=f".{position:x}{_SUFFIX}")
    except (DatabaseError, OSError) as error:
        log.warning("refresh.not_kept", id=str(claim.row.id), error=type(error).__name__)
    # Without a worker on this machine, no other process deletes them.
    with _lock:
        is_due = time.monotonic() - _released_at[0] > _RELEASE_EVERY
        _released_at[0] = time.monotonic() if is_due else _released_at[0]
    if is_due:
        release_kept_responses()


def release_kept_responses() -> None:
    """Delete the files that a standby has, and those that are older than the setting allows."""
    files = _list_files()
    if not files:
        return
    # Null without a standby, or if the role may not see its position (pg_monitor).
    replayed = _fetch_position("(SELECT max(replay_lsn) FROM pg_stat_replication)")
    oldest = time.time() - settings.SPOOL_STANDBY_SECONDS
    expired = 0
    for number, file in enumerate(reversed(files)):
        try:
            is_replicated = replayed is not None and file.position <= replayed
            is_expired = file.path.stat().st_mtime < oldest or number >= MAX_FILES
        except FileNotFoundError:
            continue
        if is_replicated or is_expired:
            file.path.unlink(missing_ok=True)
            expired += not is_replicated
    if expired:
        log.warning("refresh.not_replicated", files=expired)


def restore_kept_responses() -> None:
    """Store the kept responses that the database has lost, each after the one before it."""
    for file in sorted(_list_files(), key=lambda file: (file.id, file.generation)):
        rows = Credential.objects.filter(id=file.id, grant__isnull=False)
        generation = rows.values_list("grant__generation", flat=True).first()
        if generation is None or generation > file.generation:
            file.path.unlink(missing_ok=True)
        elif generation == file.generation:
            spool.replay_file(file.path.rename(file.path.with_name(file.name)))
        else:
            log.error("refresh.kept_response_without_former", id=str(file.id))


def _list_files() -> list[_KeptFile]:
    """Return the files in the order of their commits."""
    folder = Path(settings.SPOOL_DIR)
    files = []
    for path in folder.glob(f"*{_SUFFIX}") if folder.is_dir() else ():
        try:
            name, position = path.name.removesuffix(_SUFFIX).rsplit(".", 1)
            _, id, generation, *_ = name.split(".")
            files.append(_KeptFile(path, name, uuid.UUID(id), int(generation), int(position, 16)))
        except ValueError:
            continue  # A stray file stops nothing.
    return sorted(files, key=lambda file: file.position)


def _fetch_position(expression: str) -> int | None:
    return dialect.fetch_on_postgresql(f"({expression} - '0/0'::pg_lsn)::bigint", sqlite=None)


def _run_batch() -> None:
    if settings.SPOOL_STANDBY_SECONDS:
        release_kept_responses()


KEPT_RESPONSES: Final = PeriodicTask("kept responses", every=2, run_batch=_run_batch)
