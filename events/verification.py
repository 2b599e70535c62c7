"""Checking the trail against its seals."""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from events.hash_chain import INITIAL_DIGEST, compute_digest, select_batch
from events.models import Event, EventSeal

MAX_BACKDATING: Final = dt.timedelta(minutes=10)
"""How far the time of an event may lie before that of an event that was written before it."""


@dataclass(slots=True)
class VerificationReport:
    """`faults` are sentences. `unsealed` events came after the newest seal: nothing tells about them yet."""

    checkpoints: int = 0
    covered_events: int = 0
    uncovered_events: int = 0
    latest_checkpoint: str = ""
    """The newest seal as `NUMBER:DIGEST`, to be written down elsewhere."""
    errors: list[str] = field(default_factory=list)


def verify_events(*, known: str | None = None) -> VerificationReport:
    """Compare every event with its seal, and every seal with the one before.

    `known` is a `last` of an earlier time: the seal must still be there.
    """
    found, before, latest = (
        VerificationReport(),
        EventSeal(number=0, upto=0, digest=INITIAL_DIGEST),
        None,
    )
    digests: dict[int, str] = {}
    for seal in EventSeal.objects.order_by("number").iterator():
        found.errors += _gap(before, seal)
        events = list(select_batch(before.upto, seal.upto))
        found.errors += _differences(before, seal, events)
        latest = _check_times(events, latest, found)
        found.checkpoints += 1
        found.covered_events += len(events)
        digests[seal.number] = format_checkpoint(seal)
        before = seal
    found.latest_checkpoint = digests.get(before.number, "")
    if known is not None and known not in digests.values():
        found.errors.append(f"The seal {known} is not there any more.")
    _look_at_rest(before.upto, latest, found)
    return found


def format_checkpoint(seal: EventSeal) -> str:
    return f"{seal.number}:{bytes(seal.digest).hex()}"


def _gap(before: EventSeal, seal: EventSeal) -> Iterator[str]:
    if seal.number != before.number + 1:
        yield f"Between seal {before.number} and seal {seal.number}, seals are missing."


def _differences(
    before: EventSeal, seal: EventSeal, events: list[tuple[Any, ...]]
) -> Iterator[str]:
    where = f"Seal {seal.number} (positions {before.upto + 1} to {seal.upto})"
    digest, count = compute_digest(bytes(before.digest), seal.number, seal.upto, events)
    if count < seal.count:
        yield f"{where}: of {seal.count} events {seal.count - count} are missing."
    elif count > seal.count:
        yield f"{where}: {count - seal.count} events were put in."
    elif not hmac.compare_digest(digest, bytes(seal.digest)):
        yield f"{where}: an event or the seal was changed, or events were moved."


def _check_times(
    events: Iterable[tuple[Any, ...]], latest: dt.datetime | None, found: VerificationReport
) -> dt.datetime | None:
    """The latest time so far. An event that is much older than one before it was not written then."""
    for event in events:
        id, time = event[1], event[-1]
        if latest is not None and time < latest - MAX_BACKDATING:
            found.errors.append(
                f"Event {id} says {time:%Y-%m-%d %H:%M:%S}, but was written after"
                f" {latest:%Y-%m-%d %H:%M:%S}; or the database's clock was set back."
            )
        latest = time if latest is None else max(latest, time)
    return latest


def _look_at_rest(upto: int, latest: dt.datetime | None, found: VerificationReport) -> None:
    highest = 2**63 - 1
    rest = select_batch(upto, highest)
    _check_times(rest.iterator(chunk_size=2_000), latest, found)
    found.uncovered_events = rest.count()
    if strays := Event.objects.filter(position=None).count():
        found.errors.append(f"{strays} events have no position: no service of ours wrote them.")
