"""Import of many lines with a report: chunk after chunk, each in its own transaction."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction

from common.actors import Actor
from common.errors import InvalidInputError, ServiceError
from credentials.core import refresh_tokens
from credentials.imports import preview
from credentials.imports.files.notices import FileNotices
from credentials.imports.readers import ImportLine
from credentials.imports.row_changes import RowChange, names_row, read_change, store_changes
from credentials.imports.upsert import CHUNK_SIZE, ImportOutcome, store_items
from credentials.imports.validation import ImportItem, KeyedHashes, validate_body

MAX_REPORTED_ERRORS: Final = 1000
NO_NOTICES: Final = FileNotices()


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that was not stored: the first invalid field, if any, and the reason. Never a value."""

    line: int
    field: str | None
    reason: str

    @classmethod
    def from_error(cls, line: int, error: ServiceError) -> RejectedLine:
        for name, reasons in error.fields.items():
            return cls(line, name, reasons[0])
        return cls(line, None, error.detail)

    def to_dict(self) -> dict[str, Any]:
        return {"line": self.line, "field": self.field, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class LineNotice:
    """A line that was stored with a repaired secret, or with one that looks like a placeholder."""

    line: int
    notice: str

    def to_dict(self) -> dict[str, Any]:
        return {"line": self.line, "notice": self.notice}


@dataclass(slots=True)
class ImportReport:
    """The result of an import, or with `dry_run` the result that it would have.

    `rejected_lines` and `notices` are the first MAX_REPORTED_ERRORS of each. `file_notices` are about
    the file as a whole. `ignored` counts the lines that had a read-only key of an export.
    """

    dry_run: bool = False
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejected_lines: list[RejectedLine] = field(default_factory=list)
    notices: list[LineNotice] = field(default_factory=list)
    file_notices: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    ignored_keys: Counter[str] = field(default_factory=Counter)
    """The part of `ignored` that no reader of a file has counted."""

    @property
    def lines(self) -> int:
        return self.created + self.updated + self.unchanged + self.rejected

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the API has it."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "dry_run": self.dry_run,
            "errors": [rejected.to_dict() for rejected in self.rejected_lines],
            "errors_truncated": self.rejected > len(self.rejected_lines),
            "notices": [notice.to_dict() for notice in self.notices],
            "file_notices": self.file_notices,
            "ignored": dict(self.ignored),
        }

    def add(self, line: int, item: ImportItem, result: str) -> None:
        """Count a line that was stored, or would be."""
        setattr(self, result, getattr(self, result) + 1)
        self.ignored_keys.update(item.ignored)
        capacity = MAX_REPORTED_ERRORS - len(self.notices)
        self.notices += [LineNotice(line, each) for each in item.notices[:capacity]]


class ImportRejectedError(Exception):
    """An import that stores all lines or none had a rejected line, so that none was stored."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(report)
        self.report = report


def import_lines(
    lines: Iterable[ImportLine],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    hold: bool | None = None,
    notices: FileNotices = NO_NOTICES,
    on_rejected: Callable[[RejectedLine], None] = lambda rejected: None,
    on_chunk: Callable[[ImportReport], None] = lambda report: None,
    on_result: Callable[[int, ImportItem, ImportOutcome], None] = lambda line, item, outcome: None,
) -> ImportReport:
    """Import each line by itself: an invalid line rejects only that line.

    `hold` is that of lines which do not say if their grant shall be on hold. `notices` are those of
    the reader of a file; they become part of the report.

    `on_chunk` is called after each chunk was committed, `on_rejected` for every rejected line, in
    the order of chunks, and `on_result` for every line that is a valid item. If two lines are of one
    upstream account the second is rejected: which one is right cannot be known.
    """
    report = ImportReport(dry_run=dry_run)
    hashes = KeyedHashes.of_account(account_id)
    store = _Store(account_id, actor, hashes, hold=hold, dry_run=dry_run)
    for chunk in _validate_ahead(_Validator(hashes, hold=hold), lines):
        rejected_lines = chunk.rejected_lines
        for line, item, outcome in store.store(chunk):
            if item is not None:
                on_result(line, item, outcome)
            if outcome.error is not None:
                rejected_lines.append(RejectedLine.from_error(line, outcome.error))
            elif item is not None:
                report.add(line, item, outcome.result)
        for rejected in sorted(rejected_lines, key=lambda rejected: rejected.line):
            report.rejected += 1
            # The counter goes on, but a report of a million errors would fill the memory.
            if len(report.rejected_lines) < MAX_REPORTED_ERRORS:
                report.rejected_lines.append(rejected)
            on_rejected(rejected)
        report.file_notices, report.ignored = (
            notices.to_list(),
            report.ignored_keys + notices.ignored,
        )
        on_chunk(report)
    if store.compared:
        preview.record_comparisons(account_id=account_id, actor=actor, count=store.compared)
    return report


def import_all_or_none(
    lines: Iterable[ImportLine],
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
    hold: bool | None = None,
    notices: FileNotices = NO_NOTICES,
) -> ImportReport:
    """Import all lines in one transaction. Raises ImportRejectedError with the report instead."""
    # A dry run stores nothing but its event, which must stay if a line is rejected.
    with contextlib.nullcontext() if dry_run else transaction.atomic():
        report = import_lines(
            lines,
            account_id=account_id,
            actor=actor,
            dry_run=dry_run,
            hold=hold,
            notices=notices,
        )
        if report.rejected:
            raise ImportRejectedError(report)
    return report


@dataclass(slots=True)
class _Chunk:
    """Validated lines, each with its number: new or known accounts, and changes of named rows."""

    items: list[tuple[int, ImportItem]] = field(default_factory=list)
    changes: list[RowChange] = field(default_factory=list)
    rejected_lines: list[RejectedLine] = field(default_factory=list)


class _Store:
    """Stores chunk after chunk, each in its own transaction; changes of named rows in another one."""

    def __init__(
        self,
        account_id: uuid.UUID,
        actor: Actor,
        hashes: KeyedHashes,
        *,
        hold: bool | None,
        dry_run: bool,
    ) -> None:
        self._account_id = account_id
        self._actor = actor
        self._hashes = hashes
        self._hold = hold
        self._dry_run = dry_run
        self.compared = 0
        """Lines of a dry run that could have been guesses of a stored secret."""

    def store(self, chunk: _Chunk) -> Iterator[tuple[int, ImportItem | None, ImportOutcome]]:
        """Yield the outcome of each valid line."""
        if chunk.changes:
            for result in store_changes(
                chunk.changes,
                account_id=self._account_id,
                actor=self._actor,
                hashes=self._hashes,
                hold=self._hold,
                dry_run=self._dry_run,
            ):
                outcome = result.outcome
                if result.item is not None:
                    (outcome,) = self._hide_comparisons([result.item], [outcome])
                yield result.line, result.item, outcome
        if chunk.items:
            items = [item for _, item in chunk.items]
            outcomes = store_items(
                items, account_id=self._account_id, actor=self._actor, dry_run=self._dry_run
            )
            outcomes = self._hide_comparisons(items, outcomes)
            for (line, item), outcome in zip(chunk.items, outcomes, strict=True):
                yield line, item, outcome

    def _hide_comparisons(
        self, items: list[ImportItem], outcomes: list[ImportOutcome]
    ) -> list[ImportOutcome]:
        """Return the outcomes of a dry run without what they would say about a guessed secret."""
        if not self._dry_run:
            return outcomes
        self.compared += preview.count_comparisons(items, outcomes)
        return preview.hide_comparisons(items, outcomes)


def _validate_ahead(validator: _Validator, lines: Iterable[ImportLine]) -> Iterator[_Chunk]:
    """Yield each chunk in order, while the next one is validated in another thread."""
    source = iter(lines)
    with ThreadPoolExecutor(max_workers=1) as executor:
        next_chunk: Future[_Chunk] | None = None
        while chunk := list(itertools.islice(source, CHUNK_SIZE)):
            # The caller stores a chunk, which waits for the database, before it requests the next.
            current, next_chunk = next_chunk, executor.submit(validator.validate, chunk)
            if current:
                yield current.result()
        if next_chunk:
            yield next_chunk.result()


class _Validator:
    """Validates lines, and remembers which line had an identity or a refresh token first."""

    def __init__(self, hashes: KeyedHashes, *, hold: bool | None) -> None:
        self._hashes = hashes
        self._hold = hold
        self._first_lines: dict[bytes | str, int] = {}

    def validate(self, lines: list[ImportLine]) -> _Chunk:
        chunk = _Chunk()
        for line in lines:
            try:
                body = line.read()
                if names_row(body):
                    chunk.changes.append(self._read_change(body, line.number))
                else:
                    chunk.items.append((line.number, self._validate_body(body, line.number)))
            except ServiceError as error:
                chunk.rejected_lines.append(RejectedLine.from_error(line.number, error))
        return chunk

    def _read_change(self, body: dict[str, Any], number: int) -> RowChange:
        change = read_change(body, number)
        first_line = self._first_lines.setdefault(change.id.bytes, number)
        if first_line != number:
            raise InvalidInputError.for_field("id", f"is the same as in line {first_line}")
        return change

    def _validate_body(self, body: object, number: int) -> ImportItem:
        item = validate_body(body, hashes=self._hashes, hold=self._hold)
        first_line = self._first_lines.setdefault(item.identity, number)
        if first_line != number:
            raise InvalidInputError.for_field(
                "properties", f"is the same upstream account as line {first_line}"
            )
        self._check_persons(item, number)
        if token := item.exclusive_token:
            first_line = self._first_lines.setdefault(token, number)
            if first_line != number:
                raise InvalidInputError.for_field(
                    f"properties.{refresh_tokens.FIELD}",
                    f"is the same as in line {first_line}; one grant is one credential",
                )
        return item

    def _check_persons(self, item: ImportItem, number: int) -> None:
        """Reject a line that names an organisation alone, if another line names a person of it."""
        organisation = item.organisation
        if organisation is None:
            return
        # The first line of an organisation alone is stored by its identity, which is the same.
        key = organisation if item.person else b"person" + organisation
        if (other := self._first_lines.get(key)) and other != number:
            raise InvalidInputError.for_field(
                "properties", f"is of the organisation of line {other}; name the person in both"
            )
        if item.person:
            self._first_lines.setdefault(b"person" + organisation, number)
