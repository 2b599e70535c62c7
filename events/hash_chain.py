"""Sealing the trail: batch after batch, each bound to the one before, so that a change shows.

Which events does a batch hold, if one may still be committed later with a position between them? None that could: a batch goes
up to a *mark*. A mark is made by reading the highest position that is visible, and then the number of the transaction that reads
it. Each event's transaction got its number before the event got its position (events.sequence), so whatever has a position up to the
mark belongs to a transaction with a lower number than the mark's. Once all of those have ended (PostgreSQL says which is the
oldest still open), every event up to the mark is there to be seen or never will be. No clock decides. A transaction that stays
open delays sealing for as long, in any database of the cluster, and loses nothing. On SQLite one writes at a time, so that
whoever seals, which is writing, sees everything.

Any number of workers: seals are numbered, and of two that make the same one the database takes the first.

What this shows, and what it cannot: rows that were changed, removed, put between others or moved are found, as are seals. Whoever can
remove the newest seals together with all events since is found only by somebody who wrote down a seal of then
(`verify_events --known`). Whoever has the keys can seal anything.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, QuerySet

from common.datetimes import format_rfc3339
from common.db import dialect
from events.models import Event, EventSeal
from vault.services import get_signing_key

MAX_BATCH_EVENTS: Final = 5_000
INITIAL_DIGEST: Final = bytes(32)
"""What the first seal has in place of a seal before."""

_SEALED: Final = (
    "position", "id", "account_id", "verb", "actor", "target_type", "target_id", "changed",
    "detail", "ip", "request_id", "time",
)  # fmt: skip


class Mark(NamedTuple):
    """Events up to `position` may be sealed once all transactions before `xact` have ended."""

    position: int
    xact: int


def write_next_checkpoint(*, limit: int = MAX_BATCH_EVENTS) -> int:
    """Seal the next batch of at most `limit` events; how many. Call it until it says 0.

    0 says that there is nothing new, that a transaction older than the newest events is still open,
    or that another worker was faster.
    """
    last = EventSeal.objects.order_by("-number").first()
    mark = _kept_mark(last) or _new_mark(last)
    if mark is None:
        return 0
    try:
        with transaction.atomic():
            return _seal(last, mark, limit)
    except IntegrityError:
        return 0


def select_batch(after: int, upto: int) -> QuerySet[Any, tuple[Any, ...]]:
    """The events of a batch in their order, as the columns that are sealed."""
    events = Event.objects.filter(position__gt=after, position__lte=upto)
    return events.order_by("position").values_list(*_SEALED)


def compute_digest(
    before: bytes, number: int, upto: int, events: Iterable[tuple[Any, ...]]
) -> tuple[bytes, int]:
    """The HMAC of a seal with this number, over the seal `before` and `events`; and how many they are."""
    mac = hmac.new(get_signing_key("events"), digestmod=hashlib.sha256)
    mac.update(before + number.to_bytes(8) + upto.to_bytes(8))
    count = 0
    for count, event in enumerate(events, start=1):  # noqa: B007 - how far it went
        line = orjson.dumps([_plain(value) for value in event], option=orjson.OPT_SORT_KEYS)
        mac.update(len(line).to_bytes(8) + line)
    return mac.digest(), count


def _plain(value: Any) -> Any:
    """A time to the microsecond, on both databases alike; the rest as JSON has it."""
    return format_rfc3339(value) if hasattr(value, "astimezone") else value


def _seal(last: EventSeal | None, mark: Mark, limit: int) -> int:
    number, after = (last.number + 1, last.upto) if last else (1, 0)
    if not _settled(mark):
        if _kept_mark(last) is None:
            # Kept, so that it is this mark that is waited for: there might always be a newer one.
            _insert(last, number, after, [], mark)
        return 0
    events = list(select_batch(after, mark.position)[:limit])
    upto = events[-1][0] if len(events) == limit else mark.position
    _insert(last, number, upto, events, mark if upto < mark.position else _mark())
    return len(events)


def _insert(
    last: EventSeal | None, number: int, upto: int, events: list[tuple[Any, ...]], mark: Mark
) -> None:
    before = bytes(last.digest) if last else INITIAL_DIGEST
    digest, count = compute_digest(before, number, upto, events)
    EventSeal.objects.create(
        number=number,
        upto=upto,
        count=count,
        digest=digest,
        mark_position=mark.position,
        mark_xact=mark.xact,
    )


def _kept_mark(last: EventSeal | None) -> Mark | None:
    if last is None or last.mark_position <= last.upto:
        return None
    return Mark(last.mark_position, last.mark_xact)


def _new_mark(last: EventSeal | None) -> Mark | None:
    """A mark made now; None where there is no event after the last seal."""
    after = last.upto if last else 0
    if not Event.objects.filter(position__gt=after).exists():
        return None
    with transaction.atomic():
        return _mark()


def _mark() -> Mark:
    """First the position, then the transaction's number: the order matters."""
    position = Event.objects.aggregate(highest=Max("position"))["highest"] or 0
    return Mark(position, _own_xact())


def _own_xact() -> int:
    if not dialect.is_postgresql():
        return 0
    return _number("SELECT pg_current_xact_id()::text::bigint")


def _settled(mark: Mark) -> bool:
    """Whether everything up to the mark is there to be seen, by the statements that follow."""
    if not dialect.is_postgresql():
        return True
    oldest = _number("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    # A database that was restored elsewhere counts transactions anew; those of then are all gone.
    return oldest >= mark.xact or _own_xact() < mark.xact


def _number(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: int = cursor.fetchone()[0]
    return found
