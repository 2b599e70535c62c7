"""A file to fill in for a kind: its columns, one row that has the kind, and what each column is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import openpyxl
import orjson
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from credentials.imports.files.recognition import Format
from providers.kinds import Kind

TEMPLATE_FORMATS: Final[tuple[Format, ...]] = ("csv", "xlsx", "json")
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
_WIDTH: Final = 28


@dataclass(frozen=True, slots=True)
class TemplateColumn:
    """A column, whether an import needs it, and what it is for."""

    name: str
    required: bool
    description: str


def build_template(kind: Kind, format: Format) -> bytes:
    """Return a file in `format` with the columns of `kind`.

    Its one row has the kind and nothing else. Imported as it is, that row is rejected.
    """
    return _BUILDERS[format](kind)


def list_columns(kind: Kind) -> list[TemplateColumn]:
    """Return the columns of a table for `kind`, the required ones first."""
    app = TemplateColumn("oauth_app_id", True, "The id of the OAuth app that the grant is of.")
    columns = [
        TemplateColumn("kind", True, "What kind of credential it is."),
        *([app] if kind.needs_app else []),
        *_list_properties(kind, required=True),
        TemplateColumn("name", False, "What people call it."),
        TemplateColumn("owner_email", False, "Who is notified if it stops working."),
        TemplateColumn(
            "external_id",
            False,
            "Your own id of the upstream account. With it, that alone says which account it is.",
        ),
        *_list_properties(kind, required=False),
    ]
    if kind.refreshes:
        columns += [
            TemplateColumn("obtained_at", False, "When the tokens were issued."),
            TemplateColumn(
                "hold", False, "true: nothing refreshes the grant until it is released."
            ),
        ]
    return [
        *columns,
        TemplateColumn("metadata.example", False, "Your own data. Rename the column."),
    ]


def _list_properties(kind: Kind, *, required: bool) -> list[TemplateColumn]:
    identity = {part.field for part in kind.identity}
    return [
        TemplateColumn(
            f"properties.{name}",
            required,
            schema.get("description", "")
            + (" Says which upstream account it is." if name in identity else ""),
        )
        for name, schema in kind.schema["properties"].items()
        if name not in {"kind", "name"} and (name in kind.schema["required"]) == required
    ]


def _build_csv(kind: Kind) -> bytes:
    columns, text = list_columns(kind), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(column.name for column in columns)
    writer.writerow([kind.name, *[""] * (len(columns) - 1)])
    # Excel takes a CSV without the mark for Windows-1252.
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _build_workbook(kind: Kind) -> bytes:
    columns, workbook = list_columns(kind), openpyxl.Workbook()
    sheet: Any = workbook.active
    sheet.title = "Credentials"
    sheet.append([column.name for column in columns])
    sheet.append([kind.name])
    sheet.freeze_panes = "A2"
    for number, column in enumerate(columns, 1):
        letter = get_column_letter(number)
        sheet.cell(1, number).font = Font(bold=column.required)
        # Text: otherwise Excel drops zeros in front and digits at the end.
        sheet.column_dimensions[letter].number_format = "@"
        sheet.column_dimensions[letter].width = _WIDTH
        for row in range(2, 102):
            sheet.cell(row, number).number_format = "@"
    notes: Any = workbook.create_sheet("About the columns")
    for entry in columns:
        notes.append([entry.name, "required" if entry.required else "", entry.description])
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def _build_json(kind: Kind) -> bytes:
    body: dict[str, Any] = {}
    properties: dict[str, Any] = {"kind": kind.name}
    for column in list_columns(kind):
        root, _, key = column.name.partition(".")
        if root == "properties":
            properties[key] = ""
        elif root not in {"kind", "metadata", "hold"}:
            body[root] = ""
    document = [{**body, "properties": properties, "metadata": {}}]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_BUILDERS: Final[Mapping[str, Callable[[Kind], bytes]]] = {
    "csv": _build_csv,
    "xlsx": _build_workbook,
    "json": _build_json,
}
