"""Lines into a report: chunk after chunk, each its own transaction, nothing held but one chunk."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from common.callers import Actor
from common.errors import Problem
from credentials.importing.items import Item, read_item
from credentials.importing.lines import Line
from credentials.importing.upsert import CHUNK, store

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
) -> Report:
    """Import each line by itself: what is wrong with one rejects it alone.

    A chunk that is reported is committed. `on_fault` hears of every rejected line, in order of
    chunks. Of two lines of one upstream account the later is rejected: which of them is right is
    not for us to guess.
    """
    report = Report(dry_run=dry_run)
    seen: dict[bytes, int] = {}
    for chunk in _chunks(lines):
        faults: list[Fault] = []
        items = _read(chunk, account_id, seen, faults)
        outcomes = store(
            [item for _, item in items], account_id=account_id, actor=actor, dry_run=dry_run
        )
        for (line, _), outcome in zip(items, outcomes, strict=True):
            if outcome.problem is not None:
                faults.append(Fault.of(line, outcome.problem))
            else:
                setattr(report, outcome.result, getattr(report, outcome.result) + 1)
        _add_faults(report, faults, on_fault)
        on_chunk(report)
    return report


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


def _read(
    chunk: list[Line], account_id: uuid.UUID, seen: dict[bytes, int], faults: list[Fault]
) -> list[tuple[int, Item]]:
    items = []
    for line in chunk:
        try:
            item = read_item(line.body(), account_id=account_id)
        except Problem as problem:
            faults.append(Fault.of(line.number, problem))
            continue
        earlier = seen.setdefault(item.identity, line.number)
        if earlier != line.number:
            reason = f"is the same upstream account as line {earlier}"
            faults.append(Fault(line.number, "properties", reason))
            continue
        items.append((line.number, item))
    return items


def _add_faults(report: Report, faults: list[Fault], on_fault: Callable[[Fault], None]) -> None:
    for fault in sorted(faults, key=lambda fault: fault.line):
        report.rejected += 1
        if len(report.faults) < MAX_FAULTS:
            report.faults.append(fault)
        on_fault(fault)
