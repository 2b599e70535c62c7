"""Exported credentials as CSV, XLSX, NDJSON or a JSON array, written as they are read."""

from __future__ import annotations

import csv
import io
import itertools
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import openpyxl
import orjson
from django.db.models import QuerySet

from common.errors import InvalidInputError
from common.spreadsheets import escape_formula
from credentials.imports.files.recognition import Format
from credentials.models import Credential
from credentials.services.export import BODY_FIELDS

Documents = Iterable[dict[str, Any]]

MAX_WORKBOOK_ROWS: Final = 200_000
_SAMPLE: Final = 5000
"""The credentials whose properties and metadata get columns. Others go into the JSON columns."""

_BATCH: Final = 500
_MAX_METADATA_COLUMNS: Final = 100
_MAX_CELL: Final = 32_767
"""Characters of a cell in Excel."""

_FIRST: Final = ("id", "etag", "kind", *BODY_FIELDS)
_LAST: Final = (
    "properties", "metadata", "provider", "health.status", "health.notes", "expires_at",
    "refresh.state", "refresh.error", "last_used_at", "created_at", "updated_at",
)  # fmt: skip

# A spreadsheet or its XML changes these: control characters, and what Excel takes for an escape.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
# An import would reject these as shortened numbers and as failed formulas.
_DAMAGED: Final = re.compile(r"\d[.,]\d+E\+\d+|#[A-Z/0-9]+[!?]?")


def write_export(documents: Documents, format: Format) -> Iterator[bytes]:
    """Yield the bytes of the file. The caller has checked the size of a workbook."""
    return _WRITERS[format](documents)


def require_workbook_size(rows: QuerySet[Credential]) -> None:
    """Raise InvalidInputError for more credentials than a workbook has."""
    if rows.order_by("-id").values("id")[: MAX_WORKBOOK_ROWS + 1].count() > MAX_WORKBOOK_ROWS:
        raise InvalidInputError(
            f"A workbook has at most {MAX_WORKBOOK_ROWS:,} credentials. Export CSV instead."
        )


def _write_ndjson(documents: Documents) -> Iterator[bytes]:
    for document in documents:
        yield orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _write_json(documents: Documents) -> Iterator[bytes]:
    start = b"[\n"
    for document in documents:
        yield start + orjson.dumps(document)
        start = b",\n"
    yield b"[]\n" if start == b"[\n" else b"\n]\n"


def _write_csv(documents: Documents) -> Iterator[bytes]:
    # Excel takes a CSV without a byte order mark for Windows-1252.
    mark = b"\xef\xbb\xbf"
    rows = _build_rows(documents)
    while batch := list(itertools.islice(rows, _BATCH)):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(batch)
        yield mark + text.getvalue().encode()
        mark = b""


def _write_workbook(documents: Documents) -> Iterator[bytes]:
    workbook = openpyxl.Workbook(write_only=True)
    sheet: Any = workbook.create_sheet("Credentials")
    sheet.freeze_panes = "A2"
    for row in _build_rows(documents):
        sheet.append(row)
    # The file has no secret, so it may be on a disk while it is sent.
    with tempfile.TemporaryFile() as file:
        workbook.save(file)
        file.seek(0)
        while chunk := file.read(64 * 1024):
            yield chunk


_WRITERS: Final[Mapping[Format, Callable[[Documents], Iterator[bytes]]]] = {
    "csv": _write_csv,
    "xlsx": _write_workbook,
    "ndjson": _write_ndjson,
    "json": _write_json,
}


def _build_rows(documents: Documents) -> Iterator[list[str]]:
    """Yield the header and then a row for each credential."""
    remaining = iter(documents)
    sample = list(itertools.islice(remaining, _SAMPLE))
    properties = list(
        dict.fromkeys(name for each in sample for name in each["properties"] if name != "kind")
    )
    keys = dict.fromkeys(
        key
        for each in sample
        for key, value in each["metadata"].items()
        if _fits_cell(value) and _is_column_name(key)
    )
    metadata = list(keys)[:_MAX_METADATA_COLUMNS]
    header = [f"properties.{name}" for name in properties] + [f"metadata.{key}" for key in metadata]
    yield [*_FIRST, *header, *_LAST]
    for document in itertools.chain(sample, remaining):
        yield _build_row(document, properties, metadata)


def _build_row(document: dict[str, Any], properties: list[str], metadata: list[str]) -> list[str]:
    kind = document["properties"].pop("kind", None)
    cells = [{**document, "kind": kind}.get(name) for name in _FIRST]
    cells += [_cut(document["properties"], name, _fits_property_cell) for name in properties]
    cells += [_cut(document["metadata"], key, _fits_cell) for key in metadata]
    health, refresh = document["health"], document["refresh"] or {}
    values = {
        **document,
        "health.status": health["status"],
        "health.notes": " ".join(health.get("notes", [])),
        "refresh.state": refresh.get("state"),
        "refresh.error": refresh.get("error"),
    }
    cells += [values[name] or None for name in _LAST]
    return [_format_cell(cell) for cell in cells]


def _cut(values: dict[str, Any], name: str, fits: Callable[[object], bool]) -> object:
    """Remove a value that fits a cell from `values` and return it, otherwise None."""
    return values.pop(name) if name in values and fits(values[name]) else None


def _fits_property_cell(value: object) -> bool:
    # The kind's schema says what a number, a flag or an array is.
    return isinstance(value, int) or _fits_cell(value)


def _fits_cell(value: object) -> bool:
    """Return True for a value that an import reads from a cell of its own as it was."""
    if isinstance(value, str):
        return (
            0 < len(value) < _MAX_CELL
            and value.strip() != ""
            and not _UNSAFE.search(value)
            and not _DAMAGED.fullmatch(value)
        )
    return False


def _is_column_name(key: str) -> bool:
    return key == key.strip() and not key.startswith("\ufeff") and not _UNSAFE.search(key)


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return escape_formula(text)
