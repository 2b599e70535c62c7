"""The hash chains over the audit log: checkpoints, each an HMAC over the one before and a batch of events.

Each account has a chain of its own, in which the worker that writes a checkpoint gives the events their
places. One more chain goes over the checkpoints themselves. The position of an event is no place in a
chain but a ticket, by which workers find new events. An event may be committed after others with higher
positions. A batch therefore goes up to a *mark*: the
highest visible position, and the number of the transaction that read it. The transaction of an event
gets its number before the event gets its position (events.sequence), so all positions up to the mark
belong to transactions with lower numbers than the mark's. Once all of those have ended (PostgreSQL says
which is the oldest still open), no further event up to the mark can appear. No clock is involved. A long
transaction, in any database of the cluster, delays checkpoints and loses nothing. SQLite has one writer
at a time, so the process that writes a checkpoint sees every event.

Any number of workers may call it concurrently: checkpoints are numbered, and the primary key lets only
one process insert each number. A worker remembers the newest checkpoint. If it is changed or removed in
the database, the worker continues after the one that it remembers, so the gap remains and is found.

Verification finds events that were changed, removed, inserted or moved, and checkpoints that were. It
finds events that were rewritten and covered again, if they are older than `MAX_SEALING_DELAY`, or if a
worker ran during it. That the newest checkpoints were removed together with all events since, while no
worker ran, is found only by a digest that was kept elsewhere (`events.anchors`, `verify_events
--known`). The keys of the vault can forge any of it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from typing import Final, NamedTuple

import structlog
from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import Max, OuterRef, Subquery

from common.db import dialect
from common.db.clock import db_now
from events.digests import (
    INITIAL_DIGEST,
    POSITION,
    EventColumns,
    compute_account_digest,
    compute_round_digest,
    group_by_account,
    select_batch,
)
from events.models import AccountCheckpoint, Event, EventCheckpoint

logger = structlog.get_logger(__name__)

MAX_BATCH_EVENTS: Final = 5_000
VERSION: Final = 2

OLDEST_TRANSACTION_SQL: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The oldest transaction that is open anywhere in the cluster, or the next one."""


class Mark(NamedTuple):
    """Events up to `position` can be covered once all transactions before `xact` have ended."""

    position: int
    xact: int


class CheckpointWriter:
    """Writes checkpoints, and remembers the newest one for as long as its process runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: EventCheckpoint | None = None
        # The highest position when this process began: it knows why later events waited.
        self._started_at: int | None = None

    def write_next(self, *, limit: int = MAX_BATCH_EVENTS) -> int:
        """Write a checkpoint over the next batch of at most `limit` events, and return their number.

        Return 0 if there are no new events, if a transaction older than the newest events is still
        open, or if another worker wrote the checkpoint first. Call it again until it returns 0.
        """
        if not self._lock.acquire(blocking=False):
            return 0  # Another thread of this process is at it.
        try:
            return self._write_next(limit)
        except IntegrityError:
            return 0
        finally:
            self._lock.release()

    def _write_next(self, limit: int) -> int:
        last = self._find_last()
        if self._started_at is None:
            self._started_at = _get_highest_position()
        after = last.upto if last else 0
        pending: Mark | None = None
        if last is not None and last.mark_position > last.upto:
            # The last checkpoint stored this mark, and no batch has reached it yet.
            pending = Mark(last.mark_position, last.mark_xact)
        if pending is None and not Event.objects.filter(position__gt=after).exists():
            return 0
        # A transaction of its own, so that it ends before the next one asks which are still open.
        with transaction.atomic():
            mark = pending or _make_mark()
        with transaction.atomic():
            events: list[EventColumns] = []
            upto = after
            if _is_settled(mark):
                events = list(select_batch(after, mark.position)[:limit])
                upto = events[-1][POSITION] if len(events) == limit else mark.position
                mark = mark if upto < mark.position else _make_mark()
            elif pending is not None:
                return 0
            # An empty batch stores a mark that is not settled yet. If each call made a new one, there
            # could always be an open transaction that is older than it.
            written = self._insert(last, upto, events, mark)
        # After the commit: a checkpoint that was rolled back is none.
        self._newest = written
        return written.count

    def _find_last(self) -> EventCheckpoint | None:
        """Return the checkpoint to continue after: the newest, unless one that was seen is gone."""
        last = EventCheckpoint.objects.order_by("-number").first()
        known = self._newest
        if known is not None:
            stored = EventCheckpoint.objects.filter(number=known.number).first()
            if last is None or stored is None or bytes(stored.digest) != bytes(known.digest):
                logger.error(
                    "a checkpoint of the audit log was changed or removed", number=known.number
                )
                if last is not None and last.number > known.number:
                    known.number = last.number
                    known.upto = max(known.upto, last.upto)
                # Written at once, so that the gap is found even if this process ends now.
                with transaction.atomic():
                    last = self._insert(known, known.upto, [], Mark(known.upto, 0))
        self._newest = last
        return last

    def _insert(
        self, last: EventCheckpoint | None, upto: int, events: list[EventColumns], mark: Mark
    ) -> EventCheckpoint:
        after, before = (last.upto, bytes(last.digest)) if last else (0, INITIAL_DIGEST)
        checkpoint = EventCheckpoint(
            number=last.number + 1 if last else 1,
            upto=upto,
            count=len(events),
            mark_position=mark.position,
            mark_xact=mark.xact,
            sealed_at=db_now(),
            version=VERSION,
            continued=self._started_at is not None and after >= self._started_at,
        )
        accounts = _build_account_checkpoints(checkpoint, events)
        checkpoint.digest = compute_round_digest(before, checkpoint, accounts)
        checkpoint.save(force_insert=True)
        AccountCheckpoint.objects.bulk_create(accounts)
        return checkpoint


def write_next_checkpoint(*, limit: int = MAX_BATCH_EVENTS) -> int:
    """Write the next checkpoint as a process does that has just started: see `CheckpointWriter`."""
    return CheckpointWriter().write_next(limit=limit)


def fetch_heads(account_ids: Iterable[uuid.UUID], *, upto: int) -> list[AccountCheckpoint]:
    """Return the newest checkpoint of each of the accounts as of checkpoint number `upto`."""
    accounts = apps.get_model("accounts", "Account")._default_manager.filter(id__in=account_ids)
    newest = (
        AccountCheckpoint.objects.filter(account=OuterRef("pk"), round__lte=upto)
        .order_by("-number")
        .values("id")[:1]
    )
    ids = accounts.order_by().values_list(Subquery(newest), flat=True)
    return list(AccountCheckpoint.objects.filter(id__in=[id for id in ids if id is not None]))


def _build_account_checkpoints(
    checkpoint: EventCheckpoint, events: list[EventColumns]
) -> list[AccountCheckpoint]:
    """Return the next checkpoint of each account that has events in the batch."""
    groups = group_by_account(events)
    heads = {head.account_id: head for head in fetch_heads(groups, upto=checkpoint.number)}
    built = []
    for account_id, rows in groups.items():
        head = heads.get(account_id)
        account = AccountCheckpoint(
            account_id=account_id,
            number=head.number + 1 if head else 1,
            round=checkpoint.number,
            first=head.first + head.count if head else 1,
            count=len(rows),
            sealed_at=checkpoint.sealed_at,
        )
        before = bytes(head.digest) if head else INITIAL_DIGEST
        account.digest, _ = compute_account_digest(before, account, rows)
        built.append(account)
    return built


def _make_mark() -> Mark:
    # The position must be read first: an event after it may belong to a later transaction.
    position = _get_highest_position()
    return Mark(position, _get_transaction_number())


def _get_highest_position() -> int:
    return Event.objects.aggregate(highest=Max("position"))["highest"] or 0


def _get_transaction_number() -> int:
    return dialect.fetch_on_postgresql("pg_current_xact_id()::text::bigint", sqlite=0)


def _is_settled(mark: Mark) -> bool:
    """Return True if the statements that follow see every event up to the mark."""
    # On SQLite every mark is settled: it has one writer at a time.
    oldest = dialect.fetch_on_postgresql(OLDEST_TRANSACTION_SQL, sqlite=mark.xact)
    # A cluster to which the database was restored numbers transactions from 1 again. None of those
    # before the restore is open there.
    return oldest >= mark.xact or _get_transaction_number() < mark.xact
