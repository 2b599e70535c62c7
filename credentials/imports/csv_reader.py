"""Import lines from CSV (RFC 4180): the header names the fields, the kind's schema has their types."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NoReturn

from common import strict_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError, ServiceError
from credentials.imports.fields import FIELDS, FlagField
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine
from providers.registry import get_registry

TEXT_COLUMNS: Final = tuple(name for name, field in FIELDS.items() if field.is_text)
"""The keys of an import body whose value is the text of a cell."""

FLAG_COLUMNS: Final = tuple(name for name, field in FIELDS.items() if isinstance(field, FlagField))
"""The keys whose value is `true` or `false`."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}


def read_csv(stream: Iterable[bytes]) -> Iterator[ImportLine]:
    """Yield the rows after the header, each with the number of its first line.

    Columns: `kind`, TEXT_COLUMNS, FLAG_COLUMNS, `properties.<field>`, and `metadata` (JSON) or
    `metadata.<key>` (strings). An empty cell is an absent key. Raises BadRequestError for a header
    without `kind`, or with an unknown or a repeated name.
    """
    reader = csv.reader(_decode_lines(stream), strict=True)
    header = _read_header(reader)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            # It is not known where the next row starts, so nothing after this one is read.
            reason = f"{error}; the lines from here on were not read"
            yield ImportLine(number, partial(_raise_csv_error, reason))
            return
        if row is None:
            return
        if row:
            yield ImportLine(number, partial(_parse_row, header, row))


def _decode_lines(stream: Iterable[bytes]) -> Iterator[str]:
    for number, raw in enumerate(stream, 1):
        if len(raw) > MAX_LINE_BYTES:
            raise csv.Error(f"the line is longer than {MAX_LINE_BYTES // 1024} KiB")
        try:
            # Spreadsheets start their UTF-8 files with a byte order mark.
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise csv.Error("the line is not UTF-8") from None


def _read_header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadRequestError(f"line 1: {error}") from None
    if "kind" not in header:
        raise BadRequestError("line 1: the header needs a column kind.")
    for name in header:
        prefix = name.partition(".")[0]
        is_known = name in {"kind", *TEXT_COLUMNS, *FLAG_COLUMNS} or prefix in {
            "properties",
            "metadata",
        }
        if not is_known or name.endswith("."):
            raise BadRequestError(f"line 1: unknown column {name[:64]!r}.")
    if len(set(header)) != len(header):
        raise BadRequestError("line 1: a column is there twice.")
    if "metadata" in header and any(name.startswith("metadata.") for name in header):
        raise BadRequestError("line 1: give metadata as one column or as metadata.<key>, not both.")
    return header


def _raise_csv_error(reason: str) -> NoReturn:
    raise BadRequestError(f"The CSV does not parse: {reason}.")


def _parse_row(header: list[str], row: list[str]) -> dict[str, Any]:
    """Return the import body of a row."""
    if len(row) != len(header):
        raise BadRequestError(f"The row has {len(row)} cells; the header has {len(header)}.")
    if sum(map(len, row)) > MAX_LINE_BYTES:
        raise ContentTooLargeError(f"The row is longer than {MAX_LINE_BYTES // 1024} KiB.")
    cells = {name: cell for name, cell in zip(header, row, strict=True) if cell}
    body: dict[str, Any] = {name: cells[name] for name in TEXT_COLUMNS if name in cells}
    for name in FLAG_COLUMNS:
        if name in cells:
            body[name] = _parse_cell(name, "boolean", cells[name])
    properties: dict[str, Any] = {"kind": cells["kind"]} if "kind" in cells else {}
    kind = get_registry().get_kind(cells.get("kind", ""))
    schemas = kind.schema["properties"] if kind else {}
    for name, cell in _select_prefixed(cells, "properties.").items():
        json_type = schemas.get(name, {}).get("type")
        properties[name] = _parse_cell(f"properties.{name}", json_type, cell)
    body["properties"] = properties
    if "metadata" in cells:
        body["metadata"] = _parse_json("metadata", cells["metadata"])
    elif metadata := _select_prefixed(cells, "metadata."):
        body["metadata"] = metadata
    return body


def _select_prefixed(cells: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): cell for name, cell in cells.items() if name.startswith(prefix)
    }


def _parse_cell(column: str, json_type: str | None, cell: str) -> object:
    """Return the cell as its field's JSON type.

    A cell that does not fit stays text, which its field rejects with its own reason.
    """
    if json_type == "boolean":
        return _BOOLEANS.get(cell.lower(), cell)
    if json_type == "integer" and _INTEGER.fullmatch(cell):
        return int(cell)
    if json_type == "array":
        return _parse_json(column, cell) if cell.startswith("[") else cell.split()
    return cell


def _parse_json(column: str, cell: str) -> object:
    try:
        return strict_json.loads(cell)
    except ServiceError as error:
        raise InvalidInputError.for_field(column, error.detail) from None
