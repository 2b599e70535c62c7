"""The published schema of an import body, compared with the code that validates it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from common.errors import InvalidInputError
from credentials.api.serializers import CredentialImportSerializer
from credentials.imports.fields import FIELDS
from credentials.imports.files.columns import FLAG_COLUMNS, TEXT_COLUMNS
from credentials.imports.files.import_file import open_import_file

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_bytes())
SCHEMA = DOCUMENT["components"]["schemas"]["CredentialImportRequest"]

UUID = "01900000-0000-7000-8000-000000000001"
EMAIL_254 = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}"
VALUES: list[Any] = [
    *(None, True, 1, 1.5, [], ["x"], {}, {"a": 1}),
    *("", "x", "x" * 200, "x" * 201, "x" * 255, "x" * 256),
    *("ann@acme.example", EMAIL_254, f"{EMAIL_254}d", UUID),
    *("2026-11-21T09:30:00Z", "2026-11-21T09:30:00+02:00"),
]

VALUES_BY_FORMAT = {
    "uuid": {UUID},
    "email": {"ann@acme.example", EMAIL_254, f"{EMAIL_254}d"},
    "date-time": {"2026-11-21T09:30:00Z", "2026-11-21T09:30:00+02:00"},
}

formats = FormatChecker(formats=())
for format_name, format_values in VALUES_BY_FORMAT.items():
    formats.checks(format_name)(
        lambda value, allowed=format_values: not isinstance(value, str) or value in allowed
    )


def is_published(name: str, value: Any) -> bool:
    """Return whether the schema allows the value."""
    schema = SCHEMA["properties"][name]
    if "$ref" in schema:
        schema = {"type": "object"}  # Each kind has a schema of its own.
    return Draft202012Validator(schema, format_checker=formats).is_valid(value)


def is_accepted(name: str, value: Any) -> bool:
    try:
        FIELDS[name].read(value)
    except (ValueError, InvalidInputError):
        return False
    return True


def test_schema_has_the_validated_fields():
    fields = CredentialImportSerializer().fields
    assert list(SCHEMA["properties"]) == list(FIELDS) == list(fields)
    assert SCHEMA["required"] == [name for name, field in fields.items() if field.required]


def test_schema_allows_what_validation_accepts():
    differences = [
        (name, value)
        for name in FIELDS
        for value in VALUES
        if is_published(name, value) != is_accepted(name, value)
    ]
    assert differences == []


def test_csv_has_a_column_for_each_field():
    header = ["kind", *TEXT_COLUMNS, *FLAG_COLUMNS, "metadata", "properties.key"]
    assert {name.partition(".")[0] for name in header} == {"kind", *FIELDS}
    flags = ["true" for _ in FLAG_COLUMNS]
    cells = ["stripe_key", *(name.upper() for name in TEXT_COLUMNS), *flags, "{}", "secret"]
    file = open_import_file(io.BytesIO(f"{','.join(header)}\n{','.join(cells)}\n".encode()))
    (line,) = file.lines
    assert line.read() == {
        **{name: name.upper() for name in TEXT_COLUMNS},
        **dict.fromkeys(FLAG_COLUMNS, True),
        "metadata": {},
        "properties": {"kind": "stripe_key", "key": "secret"},
    }
