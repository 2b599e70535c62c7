"""Rows of an XLSX workbook: its first sheet that has a header, read row by row."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, Final, Protocol
from xml.etree.ElementTree import ParseError

import openpyxl

from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError
from credentials.imports.files.columns import Table, is_blank
from credentials.imports.files.notices import FileNotices
from credentials.imports.files.values import NumberCell, ValueReader
from credentials.imports.readers import ImportLine

MAX_FILE_BYTES: Final = 64 * 1024**2
MAX_UNPACKED_BYTES: Final = 1024**3
MAX_TEXT_BYTES: Final = 64 * 1024**2
"""Of what is read as a whole: shared texts, styles, the list of sheets."""

MAX_PARTS: Final = 1000
_EXACT_DIGITS: Final = 15
"""Digits of a number that Excel keeps. It replaces the others by zeros."""


class _Sheet(Protocol):
    """A sheet in openpyxl's read-only mode, which its stubs do not have."""

    def reset_dimensions(self) -> None: ...

    def iter_rows(self, *, values_only: bool) -> Iterator[tuple[object, ...]]: ...


def read_workbook(
    stream: BinaryIO, values: ValueReader, notices: FileNotices
) -> Iterator[ImportLine]:
    """Yield the rows after the header, each with its number in the sheet.

    Formulas count with the values that were stored with them. Raises BadRequestError for a file that
    cannot be read, or ContentTooLargeError.
    """
    _check_archive(stream)
    try:
        workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        for sheet in sheets:
            # Some programs write dimensions that are too small, and openpyxl would believe them.
            sheet.reset_dimensions()
            rows = _read_rows(sheet)
            header = next(rows, None)
            if header is None:
                continue
            number, names = header
            table = Table([str(name) for name in names], values, number=number)
            if sum(not _is_empty(each) for each in sheets) > 1:
                notices.add(f"only the sheet {sheet.title!r} was read")
            for number, row in rows:
                yield ImportLine(number, partial(_read_row, table, row))
            return
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, ParseError, TypeError) as error:
        raise BadRequestError(
            f"The file is no workbook that can be read ({type(error).__name__}). Save it again as XLSX."
        ) from None
    raise BadRequestError("The workbook has no sheet with a header.")


def _is_empty(sheet: _Sheet) -> bool:
    sheet.reset_dimensions()
    return next(_read_rows(sheet), None) is None


def _check_archive(stream: BinaryIO) -> None:
    """Raise for a file that would take too much memory, before any of it is unpacked."""
    try:
        parts = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        raise BadRequestError("The file is a broken XLSX workbook.") from None
    # zipfile unpacks no more of a part than is stated here.
    total = sum(part.file_size for part in parts)
    whole = sum(part.file_size for part in parts if "/worksheets/" not in part.filename)
    if len(parts) > MAX_PARTS or total > MAX_UNPACKED_BYTES or whole > MAX_TEXT_BYTES:
        raise ContentTooLargeError(
            f"The workbook has more than {MAX_PARTS:,} parts, {MAX_TEXT_BYTES // 1024**2} MiB of"
            f" texts, or {MAX_UNPACKED_BYTES // 1024**2} MiB in all. Save it as CSV."
        )


def _read_rows(sheet: _Sheet) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the rows that are not empty, with their numbers."""
    rows = sheet.iter_rows(values_only=True)
    for number, row in enumerate(rows, 1):
        if any(value is not None for value in row):
            cells = [_read_cell(value) for value in row]
            if not is_blank(cells):
                yield number, cells


class _ErrorCell(str):
    """A cell whose formula has failed, such as #N/A."""

    __slots__ = ()


_ERRORS: Final = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})


def _read_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float):
        return NumberCell(value)
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    text = str(value)
    return _ErrorCell(text) if text in _ERRORS else text


def _read_row(table: Table, row: Sequence[str]) -> dict[str, Any]:
    # A row ends with its last cell that is not empty.
    row = [*row, *[""] * (table.width - len(row))]
    for index, cell in enumerate(row):
        column = table.get_name(index)
        if isinstance(cell, _ErrorCell):
            raise InvalidInputError.for_field(column, f"is the error {cell} of a formula")
        if isinstance(cell, NumberCell) and _is_inexact(cell):
            raise InvalidInputError.for_field(
                column, "has more digits than a spreadsheet keeps; format the column as text"
            )
    return table.read_row(row)


def _is_inexact(cell: str) -> bool:
    digits = cell.removeprefix("-")
    return digits.isdigit() and len(digits) > _EXACT_DIGITS
