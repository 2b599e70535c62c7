"""Files to fill in: whatever the kind and the format, they can be read, and import nothing as they are."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from common.errors import InvalidInputError
from credentials.imports.files.import_file import open_import_file
from credentials.imports.files.templates import TEMPLATE_FORMATS, build_template, list_columns
from credentials.imports.validation import validate_item
from providers.registry import get_registry

KINDS = get_registry().kinds


@pytest.mark.parametrize("format", TEMPLATE_FORMATS)
def test_template_is_read_and_rejected_until_it_is_filled_in(account, format):
    # A workbook takes longer to make, and all kinds have the same code.
    names = ["stripe_key", "linear_oauth2", "github_app"] if format == "xlsx" else sorted(KINDS)
    for name in (name for name in names if name in KINDS):
        file = open_import_file(io.BytesIO(build_template(KINDS[name], format)))
        (line,) = file.lines
        assert file.format == format
        with pytest.raises(InvalidInputError):
            validate_item(line.read(), account_id=account.id)


def test_columns_are_those_of_the_kind():
    columns = {column.name: column.required for column in list_columns(KINDS["stripe_key"])}
    assert columns == {
        "kind": True,
        "properties.secret": True,
        "name": False,
        "owner_email": False,
        "external_id": False,
        "properties.test": False,
        "metadata.example": False,
    }


def test_command_writes_a_template(capsysbinary):
    call_command("import_template", "stripe_key", "--format", "json")
    (body,) = json.loads(capsysbinary.readouterr().out)
    assert body["properties"] == {"kind": "stripe_key", "secret": "", "test": ""}


def test_unknown_kind_is_named_with_similar_ones():
    with pytest.raises(CommandError, match="Similar: stripe_"):
        call_command("import_template", "stripe_kay")
