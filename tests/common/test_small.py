"""Ids, datetimes, merge patches and text."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from common import datetimes, text
from common.api.merge_patch import merge_patch
from common.db.ids import parse_uuid, uuid7


def test_ids_are_version_7_and_strictly_increase():
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {(id.version, id.variant) for id in ids} == {(7, uuid.RFC_4122)}


def test_an_id_contains_its_time_in_milliseconds():
    now = dt.datetime.now(dt.UTC).timestamp()
    assert abs((uuid7().int >> 80) / 1000 - now) < 1


@pytest.mark.parametrize(
    "value",
    [
        "{01989aa0-0000-7000-8000-000000000000}",
        "01989AA0-0000-7000-8000-000000000000",
        "01989aa0000070008000000000000000",
        "urn:uuid:01989aa0-0000-7000-8000-000000000000",
        " 01989aa0-0000-7000-8000-000000000000",
        "01989aa0-0000-7000-8000-00000000000\u0660",
        "",
        None,
        1,
    ],
)
def test_parse_uuid_accepts_the_canonical_form_only(value):
    assert parse_uuid(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01",
        "2024-01-01T00:00:00+99:00",
        "0001-01-01T00:00:00+14:00",
        "٢٠٢٤-01-01T00:00:00Z",
        1704067200,
        None,
    ],
)
def test_parse_rfc3339_needs_date_time_and_offset(value):
    assert datetimes.parse_rfc3339(value) is None


def test_a_time_is_parsed_into_utc_and_formatted_with_z():
    time = datetimes.parse_rfc3339("2024-01-01T01:00:00.5+01:00")
    assert datetimes.format_rfc3339(time) == "2024-01-01T00:00:00.500000Z"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_rfc_7396(target, patch, result):
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        "\u00a0",
        "\u200b",
        " \u00ad\u0301",
        "a\r\nb",
        "\u202egpj.exe",
        "\x00",
        "\ud800",
        "x" * 9,
    ],
)
def test_an_invalid_label_has_a_reason(value):
    assert text.find_label_error(value, max_length=8)


@pytest.mark.parametrize("value", ["=1+1", "{{7*7}}%s", "é", "名前", "👩‍💻"])
def test_a_name_in_any_script_is_a_valid_label(value):
    assert text.find_label_error(value, max_length=32) is None


def test_normalize_text_composes_characters():
    assert text.normalize_text("e\u0301") == "é"
