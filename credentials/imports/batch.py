"""Lines into a report: chunk after chunk, each its own transaction, nothing held but one chunk."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from common.actors import Actor
from common.errors import Invalid, Problem
from credentials.imports.readers import Line
from credentials.imports.upsert import CHUNK, Outcome, store
from credentials.imports.validation import Identify, Item, read_body
from vault import services as vault

MAX_FAULTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a line was rejected: the first field that is wrong, if it is one, and never a value."""

    line: int
    field: str | None
    reason: str

    @classmethod
    def of(cls, line: int, problem: Problem) -> Fault:
        for name, reasons in problem.fields.items():
            return cls(line, name, reasons[0])
        return cls(line, None, problem.detail)


@dataclass(slots=True)
class Report:
    """What an import did, or with `dry_run` would have done. `faults` holds the first MAX_FAULTS."""

    dry_run: bool = False
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.created + self.updated + self.unchanged + self.rejected

    def document(self) -> dict[str, Any]:
        """The report as the API answers it."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "dry_run": self.dry_run,
            "errors": [
                {"line": fault.line, "field": fault.field, "reason": fault.reason}
                for fault in self.faults
            ],
            "errors_truncated": self.rejected > len(self.faults),
        }


class Rejected(Exception):
    """An import that stores all or nothing had a rejected line: nothing was stored."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


def import_lines(
    lines: Iterable[Line],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    on_fault: Callable[[Fault], None] = lambda fault: None,
    on_chunk: Callable[[Report], None] = lambda report: None,
    on_result: Callable[[int, Item, Outcome], None] = lambda line, item, outcome: None,
) -> Report:
    """Import each line by itself: what is wrong with one rejects it alone.

    A chunk that is reported is committed. `on_fault` hears of every rejected line, in order of
    chunks, `on_result` of what became of every line that could be read. Of two lines of one
    upstream account the later is rejected: which of them is right is not for us to guess.
    """
    report = Report(dry_run=dry_run)
    for items, faults in _ahead(_Reader(vault.identifier(account_id)).read, _chunks(lines)):
        outcomes = store(
            [item for _, item in items], account_id=account_id, actor=actor, dry_run=dry_run
        )
        for (line, item), outcome in zip(items, outcomes, strict=True):
            on_result(line, item, outcome)
            if outcome.problem is not None:
                faults.append(Fault.of(line, outcome.problem))
            else:
                setattr(report, outcome.result, getattr(report, outcome.result) + 1)
        _add_faults(report, faults, on_fault)
        on_chunk(report)
    return report


_Read = tuple[list[tuple[int, Item]], list[Fault]]
"""The items of a chunk with their lines' numbers, and the lines that are none."""


def import_all_or_none(
    lines: Iterable[Line], *, account_id: uuid.UUID, actor: Actor, dry_run: bool = False
) -> Report:
    """Import all lines in one transaction, or raise Rejected with the report and store none."""
    with transaction.atomic():
        report = import_lines(lines, account_id=account_id, actor=actor, dry_run=dry_run)
        if report.rejected:
            raise Rejected(report)
    return report


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    source = iter(lines)
    while chunk := list(itertools.islice(source, CHUNK)):
        yield chunk


def _ahead(read: Callable[[list[Line]], _Read], chunks: Iterator[list[Line]]) -> Iterator[_Read]:
    """Each chunk read, in order: the next one is checked while the database works on this one."""
    with ThreadPoolExecutor(max_workers=1) as other:
        coming: Future[_Read] | None = None
        for chunk in chunks:
            found, coming = coming, other.submit(read, chunk)
            if found:
                yield found.result()
        if coming:
            yield coming.result()


class _Reader:
    """Lines into items; it remembers which line had which identity first."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._seen: dict[bytes, int] = {}

    def read(self, chunk: list[Line]) -> _Read:
        items: list[tuple[int, Item]] = []
        faults: list[Fault] = []
        for line in chunk:
            try:
                items.append((line.number, self._item(line)))
            except Problem as problem:
                faults.append(Fault.of(line.number, problem))
        return items, faults

    def _item(self, line: Line) -> Item:
        item = read_body(line.body(), identify=self._identify)
        earlier = self._seen.setdefault(item.identity, line.number)
        if earlier != line.number:
            raise Invalid.of("properties", f"is the same upstream account as line {earlier}")
        return item


def _add_faults(report: Report, faults: list[Fault], on_fault: Callable[[Fault], None]) -> None:
    for fault in sorted(faults, key=lambda fault: fault.line):
        report.rejected += 1
        if len(report.faults) < MAX_FAULTS:
            report.faults.append(fault)
        on_fault(fault)
