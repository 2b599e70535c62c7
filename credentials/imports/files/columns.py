"""The columns of a table: its header names the fields, the kind's schema has their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from common import strict_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError, ServiceError
from common.spreadsheets import unescape_formula
from common.text import escape_name
from credentials.imports.fields import FIELDS, READ_ONLY, FlagField
from credentials.imports.files.values import NumberCell, ValueReader
from credentials.imports.readers import MAX_LINE_BYTES
from providers.registry import get_registry

TEXT_COLUMNS: Final = tuple(name for name, field in FIELDS.items() if field.is_text)
"""The keys of an import body whose value is the text of a cell."""

FLAG_COLUMNS: Final = tuple(name for name, field in FIELDS.items() if isinstance(field, FlagField))
"""The keys whose value is `true` or `false`."""

_OBJECTS: Final = ("properties", "metadata")
_NAMES: Final = {"kind", *TEXT_COLUMNS, *FLAG_COLUMNS, *_OBJECTS, *READ_ONLY}
_PLAIN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z _.-]{0,23}\d?")
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


class _Column(NamedTuple):
    position: int
    name: str
    """The name as this file's reports have it, such as `metadata.plan`."""
    place: Literal["field", "object", "properties", "metadata", "ignored"]
    key: str
    """The name in the import body, or in the object of the body."""


class Table:
    """A header, by which rows become import bodies. Any thread may read rows.

    Columns: `kind`, TEXT_COLUMNS, FLAG_COLUMNS, `properties.<field>`, `metadata.<key>` (text), and
    `metadata` and `properties` (JSON). Names are read in any case, with blanks or hyphens for
    underscores. An empty cell is an absent key.
    """

    def __init__(self, header: Sequence[str], values: ValueReader, *, number: int = 1) -> None:
        """Raise BadRequestError for a header without `kind` or `id`, or with a name it cannot have."""
        self._values = values
        self._columns = _read_header(header, f"line {number}")
        self.width: int = max((column.position for column in self._columns), default=-1) + 1

    def get_name(self, index: int) -> str:
        """Return the name of a column."""
        names = (column.name for column in self._columns if column.position == index)
        return next(names, f"column {index + 1}")

    def read_row(self, row: Sequence[str]) -> dict[str, Any]:
        """Return the import body of a row. Raises ServiceError, which names the column."""
        row = _drop_empty_end(row, self.width)
        if len(row) != self.width:
            raise BadRequestError(f"The row has {len(row)} cells; the header has {self.width}.")
        if sum(map(len, row)) > MAX_LINE_BYTES:
            raise ContentTooLargeError(f"The row is longer than {MAX_LINE_BYTES // 1024} KiB.")
        cells = [(column, row[column.position]) for column in self._columns if row[column.position]]
        body: dict[str, Any] = {
            column.key: self._read_field(column, cell)
            for column, cell in cells
            if column.place == "field"
        }
        self._values.ignore(column.name for column, _ in cells if column.place == "ignored")
        kind_name = body.pop("kind", None)
        document = _read_json_column(cells, "properties")
        if kind_name:
            document = {"kind": kind_name, **document}
        flat = {column.key: cell for column, cell in cells if column.place == "properties"}
        typed = self._type_cells(flat, document.get("kind"))
        body["properties"] = _merge("properties", document, typed)
        metadata = _merge(
            "metadata",
            _read_json_column(cells, "metadata"),
            {
                column.key: str(unescape_formula(cell))
                for column, cell in cells
                if column.place == "metadata"
            },
        )
        if metadata or any(column.name == "metadata" for column, _ in cells):
            body["metadata"] = metadata
        return body

    def _read_field(self, column: _Column, cell: str) -> object:
        if column.key == "kind":
            return cell
        if column.key in FLAG_COLUMNS:
            return _BOOLEANS.get(cell.lower(), cell)
        cell = unescape_formula(cell)
        if column.key == "obtained_at":
            return self._values.read_date(column.key, cell)
        if column.key == "external_id":
            _reject_shortened(column.name, cell)
        return str(cell)

    def _type_cells(self, cells: dict[str, str], kind_name: object) -> dict[str, Any]:
        """Return the cells of properties as values of the types that the kind's schema names."""
        kind = get_registry().get_kind(str(kind_name))
        if kind is None:
            return dict(cells)
        typed: dict[str, Any] = {}
        for sent_name, cell in cells.items():
            name = kind.property_aliases.get(sent_name, sent_name)
            path = f"properties.{sent_name}"
            if name in kind.secret_fields:
                # A secret is never rewritten.
                typed[sent_name] = _require_text(path, cell)
            else:
                schema = kind.schema["properties"].get(name, {})
                typed[sent_name] = self._type_cell(path, schema, unescape_formula(cell))
        return typed

    def _type_cell(self, path: str, schema: Mapping[str, Any], text: str) -> object:
        if schema.get("type") == "boolean":
            return _BOOLEANS.get(text.lower(), text)
        if schema.get("type") == "array":
            return _parse_json(path, text) if text.startswith("[") else text.split()
        _reject_shortened(path, text)
        return self._values.read_value(path, schema, text)


def _read_json_column(cells: Iterable[tuple[_Column, str]], name: str) -> dict[str, Any]:
    """Return the object in the column `name` of a row, an empty one if there is none."""
    cell = next((cell for column, cell in cells if column.name == name), "{}")
    document = _parse_json(name, cell)
    if not isinstance(document, dict):
        raise InvalidInputError.for_field(name, "must be a JSON object")
    return document


def _merge(name: str, document: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return both together. Raises InvalidInputError for a key with two values."""
    for key, value in values.items():
        if key in document and document[key] != value:
            raise InvalidInputError.for_field(
                f"{name}.{key}", f"has another value in the column {name}"
            )
    return {**document, **values}


def _require_text(path: str, cell: str) -> str:
    if isinstance(cell, NumberCell):
        raise InvalidInputError.for_field(
            path, "is a number in the sheet; format the column as text, for no digit to be lost"
        )
    return cell


def _read_header(header: Sequence[str], place: str) -> list[_Column]:
    columns: list[_Column] = []
    for index, raw in enumerate(_drop_empty_end(header, 0)):
        name = raw.strip().lstrip("\ufeff")
        if not name:
            raise BadRequestError(f"{place}: column {index + 1} has no name.")
        columns.append(_read_column(index, name, place))
    names = {column.name for column in columns}
    if not names & {"kind", "id", "properties"}:
        raise BadRequestError(
            f"{place}: the header needs a column kind. It has {_list_names(header)}."
        )
    if len(names) != len(columns):
        twice = next(c.name for c in columns if sum(o.name == c.name for o in columns) > 1)
        raise BadRequestError(f"{place}: the column {escape_name(twice)} is there twice.")
    return columns


def _read_column(index: int, name: str, place: str) -> _Column:
    root, dot, key = name.partition(".")
    root = re.sub(r"[ -]+", "_", root.strip().lower())
    if root not in _NAMES or (dot and not key) or (dot and root not in {*_OBJECTS, *READ_ONLY}):
        # The first line of a file without a header has values, and one of them may be a secret.
        label = repr(name) if _PLAIN_NAME.fullmatch(name) else f"in place {index + 1}"
        raise BadRequestError(f"{place}: unknown column {label}{_suggest(root)}.")
    if root in READ_ONLY:
        full = f"{root}.{key.lower()}" if dot else root
        return _Column(index, full, "ignored", full)
    if not dot:
        return _Column(index, root, "object" if root in _OBJECTS else "field", root)
    if root == "metadata":
        return _Column(index, f"metadata.{key}", "metadata", key)
    # All properties have names in lower case.
    key = key.strip().lower()
    return _Column(index, f"properties.{key}", "properties", key)


def _suggest(name: str) -> str:
    kinds = get_registry().kinds.values()
    is_property = any(name in kind.schema["properties"] for kind in kinds)
    return f"; a property's column is properties.{name}" if is_property else ""


def _list_names(header: Iterable[str]) -> str:
    names = [escape_name(name.strip()) for name in header if name.strip()]
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "") if names else "no names"


def _drop_empty_end(row: Sequence[str], width: int) -> Sequence[str]:
    """Return `row` without the empty cells after `width`, which spreadsheets write."""
    end = len(row)
    while end > width and not row[end - 1].strip():
        end -= 1
    return row[:end]


def _reject_shortened(path: str, cell: str) -> None:
    """Raise InvalidInputError for a number that a spreadsheet has shortened, such as 1.23457E+11."""
    if re.fullmatch(r"\d[.,]\d+E\+\d+", cell):
        raise InvalidInputError.for_field(
            path, "was shortened by a spreadsheet; format the column as text and enter it again"
        )


def _parse_json(column: str, cell: str) -> object:
    try:
        return strict_json.loads(unescape_formula(cell))
    except ServiceError as error:
        raise InvalidInputError.for_field(column, error.detail) from None


def is_blank(row: Iterable[str]) -> bool:
    """Return True for a row of empty cells, which spreadsheets leave behind at the end."""
    return not any(cell.strip() for cell in row)
