"""Rows of CSV (RFC 4180) with commas, semicolons or tabs, as spreadsheets and databases write it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NoReturn

from common.errors import BadRequestError
from credentials.imports.fields import FIELDS, READ_ONLY
from credentials.imports.files.columns import Table, is_blank
from credentials.imports.files.encoding import LineDecoder
from credentials.imports.files.values import ValueReader
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine

_DELIMITERS: Final = ",;\t|"
_ROOTS: Final = {"kind", "properties", "metadata", *FIELDS, *READ_ONLY}
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)


def read_delimited(
    raw_lines: Iterable[bytes], decoder: LineDecoder, values: ValueReader
) -> Iterator[ImportLine]:
    """Yield the rows after the header, each with the number of its first line.

    The delimiter is the one by which the header has the most known names. Rows of empty cells are
    skipped. Raises BadRequestError for a header that cannot be read.
    """
    text_lines = _decode_lines(raw_lines, decoder)
    skipped, header_line, delimiter = _find_header(text_lines)
    options = _describe_dialect(header_line, delimiter)
    reader = csv.reader(_join(header_line, text_lines), strict=True, **options)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise BadRequestError(f"line {skipped + 1}: {error}") from None
    table = Table(header, values, number=skipped + 1)
    while True:
        number = skipped + reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            # It is not known where the next row starts, so nothing after this one is read.
            reason = f"{error}; the lines from here on were not read"
            yield ImportLine(number, partial(_raise_csv_error, reason))
            return
        if row is None:
            return
        if not is_blank(row):
            yield ImportLine(number, partial(table.read_row, row))


def guess_delimiter(header_line: str) -> str | None:
    """Return the delimiter of a header, or None if it has no name that an import knows."""
    counts = {each: _count_known_names(header_line, each) for each in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda each: counts[each])
    return best if counts[best] else None


def is_separator(line: str) -> bool:
    """Return True for the line `sep=;`, which Excel writes before the header, and hides."""
    return _SEPARATOR_LINE.fullmatch(line.strip("\r\n")) is not None


def _count_known_names(header_line: str, delimiter: str) -> int:
    names = header_line.strip().replace('"', "").replace("'", "").split(delimiter)
    roots = (re.sub(r"[ -]+", "_", name.strip().lower()).partition(".")[0] for name in names)
    return sum(root in _ROOTS for root in roots)


def _find_header(lines: Iterator[str]) -> tuple[int, str, str]:
    """Return the number of lines before the header, the header's first line, and the delimiter."""
    number, declared = 0, None
    try:
        # Not a `for` over another generator: that would close `lines` when it is left.
        while (line := next(lines, None)) is not None:
            if match := _SEPARATOR_LINE.fullmatch(line.strip("\r\n")):
                declared = match[1]
            elif line.strip(" \t\r\n,;|"):
                return number, line, declared or guess_delimiter(line) or ","
            number += 1
    except csv.Error as error:
        raise BadRequestError(f"line {number + 1}: {error}") from None
    return number, "", ","


def _describe_dialect(header_line: str, delimiter: str) -> dict[str, Any]:
    quote = (
        "'" if re.match(r"\s*'[^']*'\s*(?:" + re.escape(delimiter) + "|$)", header_line) else '"'
    )
    rest = header_line.split(delimiter)[1:]
    # `kind, name`: the blank belongs to the delimiter, and a quote may follow it.
    has_blanks = delimiter != "\t" and bool(rest) and all(cell[:1] == " " for cell in rest)
    return {"delimiter": delimiter, "quotechar": quote, "skipinitialspace": has_blanks}


def _decode_lines(raw_lines: Iterable[bytes], decoder: LineDecoder) -> Iterator[str]:
    for raw in raw_lines:
        if len(raw) > MAX_LINE_BYTES:
            raise csv.Error(f"the line is longer than {MAX_LINE_BYTES // 1024} KiB")
        try:
            yield decoder.decode(raw)
        except ValueError as error:
            raise csv.Error(str(error)) from None


def _join(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _raise_csv_error(reason: str) -> NoReturn:
    raise BadRequestError(f"The CSV does not parse: {reason}.")
