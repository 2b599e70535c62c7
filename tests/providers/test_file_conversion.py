"""Files of the first format become files of the present one, and no kind that is stored breaks."""

from __future__ import annotations

import copy
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from common.errors import InvalidInputError
from providers.file_checks import find_errors
from providers.file_conversion import convert_document
from providers.properties import validate_properties
from providers.registry import get_registry

FOLDER = Path(__file__).parent / "data"
FORMER = orjson.loads((FOLDER / "first_format.json").read_bytes())
STORED = orjson.loads((FOLDER / "stored_kinds.json").read_bytes())


def remove_evidence(value: Any) -> Any:
    """Return the value without what the present format adds."""
    if isinstance(value, dict):
        added = {"sureness"} | ({"format", "facts"} if "facts" in value else set())
        return {name: remove_evidence(item) for name, item in value.items() if name not in added}
    return [remove_evidence(item) for item in value] if isinstance(value, list) else value


def test_nothing_is_lost():
    assert FORMER["oauth"]["client_auth"] is None
    converted = remove_evidence(convert_document(FORMER))
    # What was sent for null, until null meant that nothing is sent.
    assert converted["oauth"].pop("client_auth") == "client_secret_post"
    former = copy.deepcopy(FORMER)
    del former["oauth"]["client_auth"]
    assert converted == former


def test_a_converted_file_is_valid_and_says_what_is_not_recorded(tmp_path):
    path = tmp_path / "figma.json"
    document = convert_document(FORMER)
    path.write_bytes(orjson.dumps(document))
    assert list(find_errors([path])) == []
    unrecorded = {"sureness": "one_independent", "sources": []}
    assert document["facts"]["oauth.token_url"] == unrecorded


def test_the_only_source_of_a_file_is_that_of_each_fact():
    page = {"url": "https://developers.figma.com/docs/rest-api/", "read": "2026-11-21"}
    facts = convert_document({**FORMER, "sources": [page]})["facts"]
    assert facts["oauth.token_url"] == {"sureness": "vendor", "sources": [page]}


def test_the_command_converts_in_place_and_once(tmp_path):
    path = tmp_path / "figma.json"
    path.write_bytes(orjson.dumps(FORMER))
    assert [error[1] for _, error in find_errors([path])] == ["format"]
    out = StringIO()
    call_command("convert_provider_files", str(path), stdout=out)
    converted = path.read_bytes()
    call_command("convert_provider_files", str(path), stdout=out)
    assert path.read_bytes() == converted
    assert list(find_errors([path])) == []
    first, second = out.getvalue().splitlines()
    assert first.endswith("converted.")
    assert second.endswith("has the present format.")


def test_the_command_names_a_file_that_it_cannot_convert(tmp_path):
    path = tmp_path / "acme.json"
    path.write_text("[]")
    with pytest.raises(CommandError, match=r"acme\.json"):
        call_command("convert_provider_files", str(path))


@pytest.mark.parametrize("name", sorted(STORED))
def test_stored_kind_still_works(name):
    """A row that was imported with a kind of the first format can be read, merged and refreshed."""
    stored, kind = STORED[name], get_registry().kinds[name]
    properties = kind.schema["properties"]
    assert kind.provider == stored["provider"]
    assert set(stored["names"]) <= set(kind.aliases)
    assert stored["fields"].items() <= {k: v.get("type") for k, v in properties.items()}.items()
    assert stored["other_names"].items() <= kind.property_aliases.items()
    assert set(stored["secret"]) <= set(kind.secret_fields)
    # A field that is required now would make a stored row invalid.
    assert set(kind.schema["required"]) <= {"kind", *stored["required"]}
    assert (kind.posted_key, kind.grant) == (stored["posted_key"], stored["grant"])
    try:
        validate_properties(kind, dict(stored["example"]))
    except InvalidInputError as error:
        pytest.fail(str(error.fields))
