"""Comparing the audit log with its checkpoints."""

from __future__ import annotations

import datetime as dt
import hmac
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from events.anchors import fetch_all_heads, format_anchor
from events.digests import (
    INITIAL_DIGEST,
    TIME,
    EventColumns,
    compute_account_digest,
    compute_digest,
    compute_heads_digest,
    compute_round_digest,
    group_by_account,
    select_batch,
)
from events.models import AccountCheckpoint, Event, EventCheckpoint
from events.sealing_delays import KnownDelays

# Transactions commit in another order than they began, so times may go back by as much as one lasts.
MAX_BACKDATING: Final = dt.timedelta(minutes=10)
# A worker writes checkpoints every 5 seconds; an upgrade or a long transaction may stop it for a while.
MAX_SEALING_DELAY: Final = dt.timedelta(hours=1)
_HIGHEST_POSITION: Final = 2**63 - 1


@dataclass(slots=True)
class VerificationReport:
    """The result of a verification. `errors` are sentences.

    `uncovered_events` came after the newest checkpoint, so a change of them cannot be found yet.
    `latest_checkpoint` is `NUMBER:DIGEST`, to be kept elsewhere and passed as `known` later.
    `delayed` has the checkpoints (with the `upto` of the one before) whose events waited too long.
    """

    checkpoints: int = 0
    covered_events: int = 0
    uncovered_events: int = 0
    latest_checkpoint: str = ""
    chains: int = 0
    known_delays: int = 0
    errors: list[str] = field(default_factory=list)
    delayed: list[tuple[int, EventCheckpoint]] = field(default_factory=list)


def verify_events(
    *, known: str | None = None, since_anchor: str | None = None
) -> VerificationReport:
    """Compare every event with its checkpoint, and every checkpoint with the one before.

    `known` is the `latest_checkpoint` of an earlier report: that checkpoint must still exist.
    `since_anchor` is a digest over all chains that was kept elsewhere (events.anchors). The chains
    must have had these heads, and what came after is compared; earlier events are not read.
    """
    verification = _Verification()
    if since_anchor is not None:
        verification.start_at(since_anchor)
    verification.compare_checkpoints(known)
    verification.count_uncovered()
    return verification.report


def format_checkpoint(checkpoint: EventCheckpoint) -> str:
    """Return `NUMBER:DIGEST`, the digest in hexadecimal."""
    return f"{checkpoint.number}:{bytes(checkpoint.digest).hex()}"


class _Verification:
    """One pass over the checkpoints, in their order."""

    def __init__(self) -> None:
        self.report = VerificationReport()
        self.delays = KnownDelays()
        self.report.errors += self.delays.errors
        self.before = EventCheckpoint(number=0, upto=0, digest=INITIAL_DIGEST)
        self.heads: dict[uuid.UUID, AccountCheckpoint] = {}
        self.newest_time: dt.datetime | None = None

    def start_at(self, anchor: str) -> None:
        """Begin after the checkpoint of `anchor`, if the heads of all chains were as it says."""
        number = int(anchor.partition(":")[0])
        checkpoint = EventCheckpoint.objects.filter(number=number).first()
        if checkpoint is None:
            self.report.errors.append(
                f"The checkpoint of the anchor {anchor} does not exist any more."
            )
            return
        self.heads = fetch_all_heads(upto=number)
        digest = compute_heads_digest(checkpoint, self.heads)
        if not hmac.compare_digest(format_anchor(number, digest), anchor):
            self.report.errors.append(
                f"The chains are not those of the anchor {anchor}: checkpoints up to its number were"
                " changed, removed or inserted."
            )
        self.before = checkpoint

    def compare_checkpoints(self, known: str | None) -> None:
        """Compare each checkpoint with the one before and with its events."""
        report = self.report
        is_known = known is None
        checkpoints = EventCheckpoint.objects.filter(number__gt=self.before.number)
        for checkpoint in checkpoints.order_by("number").iterator():
            events = list(select_batch(self.before.upto, checkpoint.upto))
            compare = self._compare_version_1 if checkpoint.version == 1 else self._compare_round
            report.errors += compare(checkpoint, events)
            self._check_times(events)
            report.checkpoints += 1
            report.covered_events += len(events)
            report.latest_checkpoint = format_checkpoint(checkpoint)
            is_known = is_known or report.latest_checkpoint == known
            self.before = checkpoint
        report.chains = len(self.heads)
        report.known_delays = self.delays.used
        if not is_known:
            report.errors.append(f"The checkpoint {known} does not exist any more.")

    def count_uncovered(self) -> None:
        """Count the events that no checkpoint covers yet, and those that none ever will."""
        uncovered = select_batch(self.before.upto, _HIGHEST_POSITION)
        self._check_times(uncovered.iterator(chunk_size=2_000))
        self.report.uncovered_events = uncovered.count()
        if unnumbered := Event.objects.filter(position=None).count():
            self.report.errors.append(
                f"{unnumbered} events have no position: they were not written by Latchkey."
            )

    def _compare_version_1(
        self, checkpoint: EventCheckpoint, events: list[EventColumns]
    ) -> Iterator[str]:
        yield from self._compare_numbers(checkpoint)
        before = bytes(self.before.digest)
        digest, count = compute_digest(before, checkpoint.number, checkpoint.upto, events)
        yield from _compare_batch(self._describe(checkpoint), checkpoint, digest, count)

    def _compare_round(
        self, checkpoint: EventCheckpoint, events: list[EventColumns]
    ) -> Iterator[str]:
        yield from self._compare_numbers(checkpoint)
        accounts = list(AccountCheckpoint.objects.filter(round=checkpoint.number))
        digest = compute_round_digest(bytes(self.before.digest), checkpoint, accounts)
        subject = self._describe(checkpoint)
        if not hmac.compare_digest(digest, bytes(checkpoint.digest)):
            yield f"{subject}: it was changed, or a checkpoint of an account was."
        groups = group_by_account(events)
        for account in accounts:
            yield from self._compare_account(subject, account, groups.pop(account.account_id, []))
        for account_id, rest in groups.items():
            yield f"{subject}, account {account_id}: {len(rest)} events were inserted."
        yield from self._find_late_events(subject, checkpoint, events)

    def _compare_account(
        self, subject: str, account: AccountCheckpoint, events: list[EventColumns]
    ) -> Iterator[str]:
        subject = f"{subject}, account {account.account_id}"
        head = self.heads.get(account.account_id)
        number, first = (head.number + 1, head.first + head.count) if head else (1, 1)
        if (account.number, account.first) != (number, first):
            yield (
                f"{subject}: its chain goes on with number {account.number} and place {account.first}"
                f" in place of number {number} and place {first}."
            )
        before = bytes(head.digest) if head else INITIAL_DIGEST
        digest, count = compute_account_digest(before, account, events)
        yield from _compare_batch(subject, account, digest, count)
        self.heads[account.account_id] = account

    def _find_late_events(
        self, subject: str, checkpoint: EventCheckpoint, events: list[EventColumns]
    ) -> Iterator[str]:
        """Yield a sentence if events waited longer for the checkpoint than a worker takes."""
        oldest = checkpoint.sealed_at - MAX_SEALING_DELAY
        late = [event for event in events if event[TIME] < oldest]
        # A worker that ran all the time knows that they waited: for a transaction, or a database.
        if not late or checkpoint.continued or self.delays.explain(checkpoint, late):
            return
        self.report.delayed.append((self.before.upto, checkpoint))
        first = min(event[TIME] for event in late)
        yield (
            f"{subject}: {len(late)} events, the first of {first:%Y-%m-%d %H:%M:%S}, were covered only"
            f" at {checkpoint.sealed_at:%Y-%m-%d %H:%M:%S}. Either no worker ran, or the audit log was"
            " rewritten. If you know the reason, record it: verify_events --record-delays REASON."
        )

    def _compare_numbers(self, checkpoint: EventCheckpoint) -> Iterator[str]:
        before, number = self.before.number, checkpoint.number
        if number != before + 1:
            yield f"Between checkpoint {before} and checkpoint {number}, checkpoints are missing."

    def _describe(self, checkpoint: EventCheckpoint) -> str:
        return f"Checkpoint {checkpoint.number} (positions {self.before.upto + 1} to {checkpoint.upto})"

    def _check_times(self, events: Iterable[EventColumns]) -> None:
        """Report events that are much older than an event before them."""
        for event in events:
            id, time, newest = event[1], event[TIME], self.newest_time
            if newest is not None and time < newest - MAX_BACKDATING:
                self.report.errors.append(
                    f"Event {id} says {time:%Y-%m-%d %H:%M:%S}, but was written after"
                    f" {newest:%Y-%m-%d %H:%M:%S}, unless the database's clock was set back."
                )
            self.newest_time = time if newest is None else max(newest, time)


def _compare_batch(
    subject: str, checkpoint: EventCheckpoint | AccountCheckpoint, digest: bytes, count: int
) -> Iterator[str]:
    """Yield a sentence if a batch has other events than its checkpoint."""
    if count < checkpoint.count:
        yield f"{subject}: of {checkpoint.count} events {checkpoint.count - count} are missing."
    elif count > checkpoint.count:
        yield f"{subject}: {count - checkpoint.count} events were inserted."
    elif not hmac.compare_digest(digest, bytes(checkpoint.digest)):
        yield f"{subject}: an event or the checkpoint was changed, or events were moved."
