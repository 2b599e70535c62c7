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
from common.errors import InvalidInputError, ServiceError
from credentials.imports.readers import ImportLine
from credentials.imports.upsert import CHUNK_SIZE, ImportOutcome, store_items
from credentials.imports.validation import IdentityFunction, ImportItem, validate_body
from vault import services as vault

MAX_REPORTED_ERRORS: Final = 1000


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """Why a line was rejected: the first field that is wrong, if it is one, and never a value."""

    line: int
    field: str | None
    reason: str

    @classmethod
    def from_problem(cls, line: int, problem: ServiceError) -> RejectedLine:
        for name, reasons in problem.fields.items():
            return cls(line, name, reasons[0])
        return cls(line, None, problem.detail)


@dataclass(slots=True)
class ImportReport:
    """What an import did, or with `dry_run` would have done. `faults` holds the first MAX_FAULTS."""

    dry_run: bool = False
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejected_lines: list[RejectedLine] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.created + self.updated + self.unchanged + self.rejected

    def to_dict(self) -> dict[str, Any]:
        """The report as the API answers it."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "dry_run": self.dry_run,
            "errors": [
                {"line": fault.line, "field": fault.field, "reason": fault.reason}
                for fault in self.rejected_lines
            ],
            "errors_truncated": self.rejected > len(self.rejected_lines),
        }


class ImportRejectedError(Exception):
    """An import that stores all or nothing had a rejected line: nothing was stored."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(report)
        self.report = report


def import_lines(
    lines: Iterable[ImportLine],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    on_rejected: Callable[[RejectedLine], None] = lambda fault: None,
    on_chunk: Callable[[ImportReport], None] = lambda report: None,
    on_result: Callable[[int, ImportItem, ImportOutcome], None] = lambda line, item, outcome: None,
) -> ImportReport:
    """Import each line by itself: what is wrong with one rejects it alone.

    A chunk that is reported is committed. `on_fault` hears of every rejected line, in order of
    chunks, `on_result` of what became of every line that could be read. Of two lines of one
    upstream account the later is rejected: which of them is right is not for us to guess.
    """
    report = ImportReport(dry_run=dry_run)
    for items, faults in _ahead(
        _Reader(vault.build_identity_function(account_id)).read, _chunks(lines)
    ):
        outcomes = store_items(
            [item for _, item in items], account_id=account_id, actor=actor, dry_run=dry_run
        )
        for (line, item), outcome in zip(items, outcomes, strict=True):
            on_result(line, item, outcome)
            if outcome.problem is not None:
                faults.append(RejectedLine.from_problem(line, outcome.problem))
            else:
                setattr(report, outcome.result, getattr(report, outcome.result) + 1)
        _add_faults(report, faults, on_rejected)
        on_chunk(report)
    return report


_Read = tuple[list[tuple[int, ImportItem]], list[RejectedLine]]
"""The items of a chunk with their lines' numbers, and the lines that are none."""


def import_all_or_none(
    lines: Iterable[ImportLine], *, account_id: uuid.UUID, actor: Actor, dry_run: bool = False
) -> ImportReport:
    """Import all lines in one transaction, or raise Rejected with the report and store none."""
    with transaction.atomic():
        report = import_lines(lines, account_id=account_id, actor=actor, dry_run=dry_run)
        if report.rejected:
            raise ImportRejectedError(report)
    return report


def _chunks(lines: Iterable[ImportLine]) -> Iterator[list[ImportLine]]:
    source = iter(lines)
    while chunk := list(itertools.islice(source, CHUNK_SIZE)):
        yield chunk


def _ahead(
    read: Callable[[list[ImportLine]], _Read], chunks: Iterator[list[ImportLine]]
) -> Iterator[_Read]:
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

    def __init__(self, identify: IdentityFunction) -> None:
        self._identify = identify
        self._seen: dict[bytes, int] = {}

    def read(self, chunk: list[ImportLine]) -> _Read:
        items: list[tuple[int, ImportItem]] = []
        faults: list[RejectedLine] = []
        for line in chunk:
            try:
                items.append((line.number, self._item(line)))
            except ServiceError as problem:
                faults.append(RejectedLine.from_problem(line.number, problem))
        return items, faults

    def _item(self, line: ImportLine) -> ImportItem:
        item = validate_body(line.read(), identify=self._identify)
        earlier = self._seen.setdefault(item.identity, line.number)
        if earlier != line.number:
            raise InvalidInputError.for_field(
                "properties", f"is the same upstream account as line {earlier}"
            )
        return item


def _add_faults(
    report: ImportReport, faults: list[RejectedLine], on_fault: Callable[[RejectedLine], None]
) -> None:
    for fault in sorted(faults, key=lambda fault: fault.line):
        report.rejected += 1
        if len(report.rejected_lines) < MAX_REPORTED_ERRORS:
            report.rejected_lines.append(fault)
        on_fault(fault)
