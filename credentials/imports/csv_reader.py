"""CSV (RFC 4180) into import lines: the header names the fields, the kind's schema gives their types."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from common import strict_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError, ServiceError
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine
from providers.registry import get_registry

_PLAIN: Final = ("name", "oauth_app_id", "owner_email", "external_id", "obtained_at")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_TRUTHS: Final = {"true": True, "false": False}


def read_csv(stream: Iterable[bytes]) -> Iterator[ImportLine]:
    """The rows after the header, each with the number of its first line.

    Headers: `kind`, `name`, `oauth_app_id`, `owner_email`, `external_id`, `obtained_at`,
    `properties.<field>`, and `metadata` (JSON) or `metadata.<key>` (strings). An empty cell is an
    absent key. Raises BadRequest for a header without `kind`, or with another or a repeated name.
    """
    reader = csv.reader(_text(stream), strict=True)
    header = _header(reader)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            # Where the next row starts is anybody's guess, so nothing after it is read.
            yield ImportLine(number, _raiser(f"{error}; the lines from here on were not read"))
            return
        if row is None:
            return
        if row:
            yield ImportLine(number, _row_reader(header, row))


def _text(stream: Iterable[bytes]) -> Iterator[str]:
    for number, raw in enumerate(stream, 1):
        if len(raw) > MAX_LINE_BYTES:
            raise csv.Error(f"the line is longer than {MAX_LINE_BYTES // 1024} KiB")
        try:
            # Spreadsheets start their UTF-8 files with a byte order mark.
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise csv.Error("the line is not UTF-8") from None


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise BadRequestError(f"line 1: {error}") from None
    if "kind" not in header:
        raise BadRequestError("line 1: the header needs a column kind.")
    for name in header:
        known = name in {"kind", "metadata", *_PLAIN} or name.partition(".")[0] in {
            "properties",
            "metadata",
        }
        if not known or name.endswith("."):
            raise BadRequestError(f"line 1: unknown column {name[:64]!r}.")
    if len(set(header)) != len(header):
        raise BadRequestError("line 1: a column is there twice.")
    if "metadata" in header and any(name.startswith("metadata.") for name in header):
        raise BadRequestError("line 1: give metadata as one column or as metadata.<key>, not both.")
    return header


def _raiser(reason: str) -> Callable[[], Any]:
    def read() -> Any:
        raise BadRequestError(f"The CSV does not parse: {reason}.")

    return read


def _row_reader(header: list[str], row: list[str]) -> Callable[[], Any]:
    def read() -> Any:
        if len(row) != len(header):
            raise BadRequestError(f"The row has {len(row)} cells; the header has {len(header)}.")
        if sum(map(len, row)) > MAX_LINE_BYTES:
            raise ContentTooLargeError(f"The row is longer than {MAX_LINE_BYTES // 1024} KiB.")
        return _body({name: cell for name, cell in zip(header, row, strict=True) if cell})

    return read


def _body(cells: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {name: cells[name] for name in _PLAIN if name in cells}
    body["properties"] = _properties(cells)
    if "metadata" in cells:
        body["metadata"] = _json("metadata", cells["metadata"])
    keys = {n.removeprefix("metadata."): c for n, c in cells.items() if n.startswith("metadata.")}
    if keys:
        body["metadata"] = keys
    return body


def _properties(cells: dict[str, str]) -> dict[str, Any]:
    kind = get_registry().get_kind(cells.get("kind", ""))
    types = (
        {name: part.get("type") for name, part in kind.schema["properties"].items()} if kind else {}
    )
    found: dict[str, Any] = {"kind": cells["kind"]} if "kind" in cells else {}
    for column, cell in cells.items():
        if column.startswith("properties."):
            name = column.removeprefix("properties.")
            found[name] = _typed(column, types.get(name), cell)
    return found


def _typed(column: str, kind: Any, cell: str) -> Any:
    """The cell as its field's type; what does not fit stays text, which the kind's check refuses."""
    if kind == "boolean":
        return _TRUTHS.get(cell.lower(), cell)
    if kind == "integer" and _INTEGER.fullmatch(cell):
        return int(cell)
    if kind == "array":
        return _json(column, cell) if cell.startswith("[") else cell.split()
    return cell


def _json(column: str, cell: str) -> Any:
    try:
        return strict_json.loads(cell)
    except ServiceError as problem:
        raise InvalidInputError.for_field(column, problem.detail) from None
