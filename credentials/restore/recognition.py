"""Recognise that the database went back in time, before anything is refreshed.

Every process compares the database with what it has seen before each refresh: the place of the
database (`identity`) and a number that workers count up, which is also in a file outside of the
database (`mark_file`). The comparison is one short statement.
"""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any, Final, NamedTuple

import structlog
from django.db import connection, transaction
from django.db.models import F

from common.datetimes import format_rfc3339
from common.db.clock import DbNow, db_now
from credentials.restore import journal, mark_file, marking
from credentials.restore.identity import build_identity_sql, find_difference
from credentials.restore.mark_file import SeenMark
from credentials.restore.models import DatabaseMark, DatabaseRestore

log = structlog.get_logger(__name__)

_STEP: Final = 1_000_000
"""Added to the number after a restore, so that it exceeds what any process has seen before."""

_lock = threading.Lock()
_seen: list[SeenMark] = []
"""At most one: the highest mark that this process has seen of its database."""


class _Present(NamedTuple):
    """The database now: its row, the identity that it has, and what was seen of it before."""

    mark: DatabaseMark
    identity: str
    seen: SeenMark


class Difference(NamedTuple):
    """A difference from what was seen before. If not `went_back`, another process handled it."""

    reason: str
    went_back: bool


def find_restore() -> Difference | None:
    """Compare the database with what was seen of it. Return None if it is that one, and no older."""
    return _compare(_read_present())


def handle_restore() -> None:
    """Mark the grants that may have been replaced, if the database went back. May run twice.

    Returns once all are marked; nothing may be refreshed before.
    """
    present = _read_present()
    difference = _compare(present)
    if difference is None:
        return
    handled = DatabaseRestore.objects.filter(id=present.mark.epoch).first()
    if difference.went_back or handled is None:
        _mark_grants(present, difference.reason)
        return
    # Another process marked the grants that were due. Only this machine's journal is new.
    drained = journal.drain_journal()
    marking.mark_refreshed_grants(handled, drained.generations)
    _remember(present.mark)
    drained.delete()


def declare_restore(restored_to: dt.datetime, *, every_grant: bool) -> None:
    """Mark the grants as if the database had been recognised to have gone back to `restored_to`."""
    _mark_grants(_read_present(), "declared", restored_to, every_grant=every_grant)


def count_mark() -> DatabaseMark | None:
    """Count the mark up, in the database and then in the file. Return it, None if there is none."""
    with transaction.atomic():
        rows = DatabaseMark.objects.filter(id=1)
        rows.update(number=F("number") + 1, counted_at=DbNow())
        mark = rows.first()
    if mark is not None:
        _remember(mark)
    return mark


def forget_seen_mark() -> None:
    """Forget what this process has seen, as if it had just started."""
    with _lock:
        _seen.clear()


def _mark_grants(
    present: _Present,
    reason: str,
    restored_to: dt.datetime | None = None,
    *,
    every_grant: bool = False,
) -> None:
    drained = journal.drain_journal()
    restore = _begin_restore(present.mark, reason, restored_to)
    behind = marking.mark_refreshed_grants(restore, drained.generations)
    due = marking.mark_due_grants(restore, every_grant=every_grant)
    _end_restore(restore, present)
    _remember(DatabaseMark.objects.get(id=present.mark.id))
    drained.delete()
    log.error(
        "database.restored",
        to=format_rfc3339(restore.restored_to),
        reason=reason,
        due=due,
        behind=behind,
    )


def _compare(present: _Present) -> Difference | None:
    mark, seen = present.mark, present.seen
    if reason := find_difference(mark.identity, present.identity):
        return Difference(reason, went_back=True)
    if seen.number > mark.number:
        return Difference("mark", went_back=True)
    if seen.epoch != mark.epoch:
        return Difference("journal", went_back=False)
    return None


def _read_present() -> _Present:
    # Before the database is read: another process may count on at any time.
    with _lock:
        known = [*_seen, mark_file.read_mark()]
    sql = f"SELECT *, {build_identity_sql()} AS present FROM restore_databasemark WHERE id = 1"  # noqa: S608
    row: Any = next(iter(DatabaseMark.objects.raw(sql)), None)
    if row is not None:
        mark, identity = row, row.present
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {build_identity_sql()}")
            (identity,) = cursor.fetchone()
        DatabaseMark.objects.bulk_create([DatabaseMark(identity=identity)], ignore_conflicts=True)
        mark = DatabaseMark.objects.get(id=1)
    own = [each for each in known if each and each.installation == mark.installation]
    seen = max(own, key=lambda each: each.number, default=_build_seen_mark(mark))
    with _lock:
        _seen[:] = [seen]
    return _Present(mark, identity, seen)


def _remember(mark: DatabaseMark) -> None:
    seen = _build_seen_mark(mark)
    with _lock:
        _seen[:] = [seen]
    mark_file.write_mark(seen)


def _build_seen_mark(mark: DatabaseMark) -> SeenMark:
    return SeenMark(mark.installation, mark.number, mark.epoch)


def _begin_restore(
    mark: DatabaseMark, reason: str, restored_to: dt.datetime | None
) -> DatabaseRestore:
    """Return the restore that is being handled, which another process may have begun."""
    now = db_now()
    if restored_to is None:
        # At most ten seconds too early. Later rows may have been written after the restore.
        restored_to = mark.counted_at
    with transaction.atomic():
        DatabaseMark.objects.select_for_update(no_key=True).get(id=mark.id)
        unfinished = DatabaseRestore.objects.filter(marked_at=None).order_by("id").first()
        if unfinished is None:
            return DatabaseRestore.objects.create(
                restored_to=restored_to, reason=reason, recognised_at=now
            )
        # It may be of the backup, and then of an earlier restore.
        unfinished.recognised_at = now
        unfinished.restored_to = min(unfinished.restored_to, restored_to)
        unfinished.save(update_fields=["recognised_at", "restored_to"])
        return unfinished


def _end_restore(restore: DatabaseRestore, present: _Present) -> None:
    """Let refreshes go on: from now on this is the database that every process has to see."""
    number = max(present.mark.number, present.seen.number) + _STEP
    with transaction.atomic():
        # The first process decides. For the others the restore has ended already.
        marks = DatabaseMark.objects.filter(id=present.mark.id, epoch=present.mark.epoch)
        marks.update(identity=present.identity, number=number, epoch=restore.id, counted_at=DbNow())
        DatabaseRestore.objects.filter(id=restore.id, marked_at=None).update(marked_at=DbNow())
