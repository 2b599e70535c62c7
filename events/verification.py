"""Comparing the audit log with its checkpoints."""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from events.hash_chain import INITIAL_DIGEST, compute_digest, select_batch
from events.models import Event, EventCheckpoint

# Transactions commit in another order than they began, so times may go back by as much as one lasts.
MAX_BACKDATING: Final = dt.timedelta(minutes=10)
_HIGHEST_POSITION: Final = 2**63 - 1


@dataclass(slots=True)
class VerificationReport:
    """The result of a verification. `errors` are sentences.

    `uncovered_events` came after the newest checkpoint, so a change of them cannot be found yet.
    `latest_checkpoint` is `NUMBER:DIGEST`, to be kept elsewhere and passed as `known` later.
    """

    checkpoints: int = 0
    covered_events: int = 0
    uncovered_events: int = 0
    latest_checkpoint: str = ""
    errors: list[str] = field(default_factory=list)


def verify_events(*, known: str | None = None) -> VerificationReport:
    """Compare every event with its checkpoint, and every checkpoint with the one before.

    `known` is the `latest_checkpoint` of an earlier report: that checkpoint must still exist.
    """
    report = VerificationReport()
    before = EventCheckpoint(number=0, upto=0, digest=INITIAL_DIGEST)
    newest_time: dt.datetime | None = None
    is_known = known is None
    for checkpoint in EventCheckpoint.objects.order_by("number").iterator():
        events = list(select_batch(before.upto, checkpoint.upto))
        report.errors += _compare(before, checkpoint, events)
        newest_time = _check_times(events, newest_time, report)
        report.checkpoints += 1
        report.covered_events += len(events)
        report.latest_checkpoint = format_checkpoint(checkpoint)
        is_known = is_known or report.latest_checkpoint == known
        before = checkpoint
    if not is_known:
        report.errors.append(f"The checkpoint {known} does not exist any more.")
    uncovered = select_batch(before.upto, _HIGHEST_POSITION)
    _check_times(uncovered.iterator(chunk_size=2_000), newest_time, report)
    report.uncovered_events = uncovered.count()
    if unnumbered := Event.objects.filter(position=None).count():
        report.errors.append(
            f"{unnumbered} events have no position: they were not written by Latchkey."
        )
    return report


def format_checkpoint(checkpoint: EventCheckpoint) -> str:
    """Return `NUMBER:DIGEST`, the digest in hexadecimal."""
    return f"{checkpoint.number}:{bytes(checkpoint.digest).hex()}"


def _compare(
    before: EventCheckpoint, checkpoint: EventCheckpoint, events: list[tuple[Any, ...]]
) -> Iterator[str]:
    """Yield a sentence for each difference between a checkpoint, the one before and its events."""
    number, upto = checkpoint.number, checkpoint.upto
    if number != before.number + 1:
        yield f"Between checkpoint {before.number} and checkpoint {number}, checkpoints are missing."
    subject = f"Checkpoint {number} (positions {before.upto + 1} to {upto})"
    digest, count = compute_digest(bytes(before.digest), number, upto, events)
    if count < checkpoint.count:
        yield f"{subject}: of {checkpoint.count} events {checkpoint.count - count} are missing."
    elif count > checkpoint.count:
        yield f"{subject}: {count - checkpoint.count} events were inserted."
    elif not hmac.compare_digest(digest, bytes(checkpoint.digest)):
        yield f"{subject}: an event or the checkpoint was changed, or events were moved."


def _check_times(
    events: Iterable[tuple[Any, ...]], newest_time: dt.datetime | None, report: VerificationReport
) -> dt.datetime | None:
    """Report events that are much older than an event before them. Return the newest time so far."""
    for event in events:
        id, time = event[1], event[-1]
        if newest_time is not None and time < newest_time - MAX_BACKDATING:
            report.errors.append(
                f"Event {id} says {time:%Y-%m-%d %H:%M:%S}, but was written after"
                f" {newest_time:%Y-%m-%d %H:%M:%S}, unless the database's clock was set back."
            )
        newest_time = time if newest_time is None else max(newest_time, time)
    return newest_time
