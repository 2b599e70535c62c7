"""The hash chain over the audit log: checkpoints, each an HMAC over the one before and a batch of events.

An event may be committed after others with higher positions. A batch therefore goes up to a *mark*: the
highest visible position, and the number of the transaction that read it. The transaction of an event
gets its number before the event gets its position (events.sequence), so all positions up to the mark
belong to transactions with lower numbers than the mark's. Once all of those have ended (PostgreSQL says
which is the oldest still open), no further event up to the mark can appear. No clock is involved. A long
transaction, in any database of the cluster, delays checkpoints and loses nothing. SQLite has one writer
at a time, so the process that writes a checkpoint sees every event.

Any number of workers may call it concurrently: checkpoints are numbered, and the primary key lets only
one process insert each number.

Verification finds events that were changed, removed, inserted or moved, and checkpoints that were. It
cannot find that the newest checkpoints were removed together with all events since, unless it is given
a checkpoint that was kept elsewhere (`verify_events --known`). The keys of the vault can forge any of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from common.datetimes import format_rfc3339
from common.db import dialect
from events.models import Event, EventCheckpoint
from vault.services import get_signing_key

MAX_BATCH_EVENTS: Final = 5_000
# The first checkpoint has this in place of the digest of the one before.
INITIAL_DIGEST: Final = bytes(32)

OLDEST_TRANSACTION_SQL: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The oldest transaction that is open anywhere in the cluster, or the next one."""

# The digest covers these columns in this order, so neither may ever change.
_COLUMNS: Final = (
    "position", "id", "account_id", "verb", "actor", "target_type", "target_id", "changed",
    "detail", "ip", "request_id", "time",
)  # fmt: skip


class Mark(NamedTuple):
    """Events up to `position` can be covered once all transactions before `xact` have ended."""

    position: int
    xact: int


def write_next_checkpoint(*, limit: int = MAX_BATCH_EVENTS) -> int:
    """Write a checkpoint over the next batch of at most `limit` events, and return their number.

    Return 0 if there are no new events, if a transaction older than the newest events is still open,
    or if another worker wrote the checkpoint first. Call it again until it returns 0.
    """
    last = EventCheckpoint.objects.order_by("-number").first()
    number, after = (last.number + 1, last.upto) if last else (1, 0)
    pending: Mark | None = None
    if last is not None and last.mark_position > last.upto:
        # The last checkpoint stored this mark, and no batch has reached it yet.
        pending = Mark(last.mark_position, last.mark_xact)
    if pending is None and not Event.objects.filter(position__gt=after).exists():
        return 0
    if pending is None:
        # A transaction of its own, so that it ends before the next one asks which are still open.
        with transaction.atomic():
            mark = _make_mark()
    else:
        mark = pending
    try:
        with transaction.atomic():
            if not _is_settled(mark):
                if pending is None:
                    # Store the mark with an empty batch. If each call made a new one, there could
                    # always be an open transaction that is older than it.
                    _insert(last, number, after, [], mark)
                return 0
            events = list(select_batch(after, mark.position)[:limit])
            upto = events[-1][0] if len(events) == limit else mark.position
            _insert(last, number, upto, events, mark if upto < mark.position else _make_mark())
            return len(events)
    except IntegrityError:
        return 0


def select_batch(after: int, upto: int) -> QuerySet[Any, tuple[Any, ...]]:
    """Return the covered columns of the events after position `after` up to `upto`, in their order."""
    events = Event.objects.filter(position__gt=after, position__lte=upto)
    return events.order_by("position").values_list(*_COLUMNS)


def compute_digest(
    before: bytes, number: int, upto: int, events: Iterable[tuple[Any, ...]]
) -> tuple[bytes, int]:
    """Return the HMAC of checkpoint `number` after the digest `before`, and the number of events."""
    mac = hmac.new(get_signing_key("events"), digestmod=hashlib.sha256)
    mac.update(before + number.to_bytes(8) + upto.to_bytes(8))
    count = 0
    for event in events:
        # orjson's own format of datetimes has an offset; PostgreSQL and SQLite must give one digest.
        values = [format_rfc3339(v) if isinstance(v, dt.datetime) else v for v in event]
        line = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        # The length in front keeps two events from being read as one.
        mac.update(len(line).to_bytes(8) + line)
        count += 1
    return mac.digest(), count


def _insert(
    last: EventCheckpoint | None, number: int, upto: int, events: list[tuple[Any, ...]], mark: Mark
) -> None:
    before = bytes(last.digest) if last else INITIAL_DIGEST
    digest, count = compute_digest(before, number, upto, events)
    EventCheckpoint.objects.create(
        number=number,
        upto=upto,
        count=count,
        digest=digest,
        mark_position=mark.position,
        mark_xact=mark.xact,
    )


def _make_mark() -> Mark:
    # The position must be read first: an event after it may belong to a later transaction.
    position = Event.objects.aggregate(highest=Max("position"))["highest"] or 0
    return Mark(position, _get_transaction_number())


def _get_transaction_number() -> int:
    return dialect.fetch_on_postgresql("pg_current_xact_id()::text::bigint", sqlite=0)


def _is_settled(mark: Mark) -> bool:
    """Return True if the statements that follow see every event up to the mark."""
    # On SQLite every mark is settled: it has one writer at a time.
    oldest = dialect.fetch_on_postgresql(OLDEST_TRANSACTION_SQL, sqlite=mark.xact)
    # A cluster to which the database was restored numbers transactions from 1 again. None of those
    # before the restore is open there.
    return oldest >= mark.xact or _get_transaction_number() < mark.xact
