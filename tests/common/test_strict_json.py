"""The one gate for JSON."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import strict_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1) if levels > 1 else 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"{",
        b"{} {}",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1 // c\n}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"\\u0062":2}}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":' + b"9" * 4301 + b"}",
        b'{"a":1e-20000}',
        b'{"a":-0.0000001e-400}',
        b'{"a":0.1234567890123456789}',
        b'{"a":9007199254740993.000001}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'"' * 3 + b'\\"' * 100_000,
    ],
)
def test_what_is_no_strict_json_is_400(raw):
    with pytest.raises(BadRequestError):
        strict_json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0.0", 0.0),
        (b"0e5", 0.0),
        (b"0.10000000000000001", 0.1),
        (b"0.30000000000000004", 0.30000000000000004),
        (b"1.50000000000000000000000000", 1.5),
        (b"1e15", 1e15),
        (b"-2.5E-3", -0.0025),
    ],
)
def test_fractions_that_a_double_keeps_are_read(raw, value):
    assert strict_json.loads(raw) == value


def test_fractions_of_providers_may_be_rounded():
    assert strict_json.loads(b"[0.1234567890123456789, 1e-20000]", may_round=True) == [
        0.12345678901234568,
        0.0,
    ]


def test_a_refusal_repeats_nothing_that_was_sent():
    with pytest.raises(BadRequestError) as refusal:
        strict_json.loads(b'{"secret": "sk_canary", "secret": "sk_canary" ')
    assert "canary" not in refusal.value.detail


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_reads_what_json_writes(value):
    assert strict_json.loads(json.dumps(value)) == value


@given(st.binary(max_size=200) | st.text('{}[]",:0a\\u', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(raw):
    try:
        found = strict_json.loads(raw)
    except BadRequestError:
        return
    assert json.loads(raw) == found


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        (None, InvalidInputError),
        ([], InvalidInputError),
        ("x", InvalidInputError),
        ({"a": "x" * 1025}, InvalidInputError),
        ({"a": "x" * 17_000}, ContentTooLargeError),
        ({f"k{n}": "x" * 1000 for n in range(20)}, ContentTooLargeError),
        ({"a" * 65: 1}, InvalidInputError),
        ({"": 1}, InvalidInputError),
        ({"a\x00": 1}, InvalidInputError),
        ({"a\u202e": 1}, InvalidInputError),
        ({"\udfff": 1}, InvalidInputError),
        ({"a": "\x00"}, InvalidInputError),
        ({"a": ["\ud800"]}, InvalidInputError),
        ({f"k{n}": n for n in range(51)}, InvalidInputError),
        (
            {"a": [{f"k{n}": n for n in range(25)}, {f"k{n}": n for n in range(25)}]},
            InvalidInputError,
        ),
        (nested(9), InvalidInputError),
        ({"a": [1] * 501}, InvalidInputError),
        ({"a": [[]] * 499 + [[1, 2]]}, InvalidInputError),
        ({"a": [1] * 250, "b": {"c": [1] * 251}}, InvalidInputError),
        ({"a": 2**53}, InvalidInputError),
        ({"a": -(2**53)}, InvalidInputError),
        ({"a": float("inf")}, InvalidInputError),
        ({"a": 1e20}, InvalidInputError),
    ],
)
def test_metadata_beyond_the_limits_is_refused(metadata, error):
    with pytest.raises(error):
        strict_json.check_metadata(metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": None, "b": [], "c": {}, "d": "", "e": 2**53 - 1, "f": 1e15},
        nested(8),
        {f"k{n}": n for n in range(50)},
        {"a": "x" * 1024, "text": "line\nbreak\ttab"},
        {"a": [1] * 500},
        {"a": [1] * 250, "b": [[1] * 249]},
    ],
)
def test_metadata_within_the_limits_passes(metadata):
    assert strict_json.check_metadata(metadata) == metadata


@given(st.recursive(st.none() | st.text() | st.floats(), lambda v: st.dictionaries(st.text(), v)))
def test_any_metadata_passes_or_is_a_problem(value):
    with contextlib.suppress(InvalidInputError, ContentTooLargeError):
        assert strict_json.check_metadata(value) is value
