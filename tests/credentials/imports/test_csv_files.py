"""CSV rows into import bodies."""

from __future__ import annotations

import io
from typing import Any

import pytest

from common.errors import BadRequestError, ServiceError
from credentials.imports.files.import_file import open_import_file


def bodies(text: str) -> list[Any]:
    lines = open_import_file(io.BytesIO(text.encode()), format="csv").lines
    found: list[Any] = []
    for line in lines:
        try:
            found.append(line.read())
        except ServiceError as problem:
            found.append((line.number, problem.detail))
    return found


def test_columns_become_a_body():
    text = (
        "kind,name,owner_email,properties.secret,properties.test,metadata.region\n"
        "stripe_key,Mine,a@b.example,sk_1,true,eu\n"
    )
    assert bodies(text) == [
        {
            "name": "Mine",
            "owner_email": "a@b.example",
            "properties": {"kind": "stripe_key", "secret": "sk_1", "test": True},
            "metadata": {"region": "eu"},
        }
    ]


def test_empty_cell_is_an_absent_key():
    assert bodies("kind,name,properties.secret\nstripe_key,,s\n") == [
        {"properties": {"kind": "stripe_key", "secret": "s"}}
    ]


def test_types_come_from_the_kind():
    text = "kind,properties.hub_id,properties.scopes,properties.hub_domain\nhubspot,42,a b,42\n"
    assert bodies(text) == [
        {
            "properties": {
                "kind": "hubspot",
                "hub_id": 42,
                "scopes": ["a", "b"],
                "hub_domain": "42",
            }
        }
    ]


def test_metadata_as_one_json_column():
    assert bodies('kind,metadata\nstripe_key,"{""n"": 1}"\n')[0]["metadata"] == {"n": 1}


def test_invalid_json_cell_names_its_column():
    number, reason = bodies("kind,metadata\nstripe_key,{\n")[0]
    assert number == 2
    assert reason.startswith("metadata: ")


def test_row_numbers_count_line_breaks_in_cells():
    text = 'kind,properties.secret\nstripe_key,"a\nb"\nstripe_key\n'
    first, second = bodies(text)
    assert first["properties"]["secret"] == "a\nb"
    assert second == (4, "The row has 1 cells; the header has 2.")


def test_byte_order_mark_is_skipped():
    assert bodies("\ufeffkind\nstripe_key\n") == [{"properties": {"kind": "stripe_key"}}]


@pytest.mark.parametrize(
    "header",
    ["name", "kind,kind", "kind,secret", "kind,properties.", "kind,,name", ""],
)
def test_invalid_header_is_rejected_before_any_row(header):
    with pytest.raises(BadRequestError):
        bodies(f"{header}\nx\n")


def test_rows_after_broken_quoting_are_not_read():
    text = 'kind,name\nstripe_key,ok\nstripe_key,"broken"x\nstripe_key,after\n'
    found = bodies(text)
    assert len(found) == 2
    assert found[1][0] == 3
    assert "not read" in found[1][1]
