"""The strict JSON parser: for bodies, import lines, `?metadata=`, the admin's JSON boxes, commands.

`loads` decides what is JSON (RFC 8259, and stricter where parsers differ: no duplicate names, no
NaN, no byte order mark). `check_metadata` decides what may be stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from common import text
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError

MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259 §6, RFC 7493 §2.2)."""

MAX_DIGITS: Final = 17
"""Significant digits of a number with a fraction or an exponent."""

METADATA_BYTES: Final = 16 * 1024
METADATA_DEPTH: Final = 8
METADATA_KEYS: Final = 50
METADATA_KEY_LENGTH: Final = 64
METADATA_STRING_LENGTH: Final = 1024
METADATA_ELEMENTS: Final = 500
"""Elements of all arrays together. A filter compares each of its own with each of a row's."""

_SORTED: Final = orjson.OPT_SORT_KEYS


def loads(raw: bytes | str, *, may_round: bool = False) -> Any:
    """Parse one JSON document strictly.

    Raise BadRequestError if it is not UTF-8 or not JSON, has a name twice in one object, NaN or
    Infinity, an integer that is too long, a fraction that a double would round, or too many levels.
    With `may_round`, fractions are rounded. Never raise RecursionError.
    """
    if isinstance(raw, bytes):
        try:
            raw = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequestError("The body is not UTF-8.") from None
    if not raw.strip():
        raise BadRequestError("A JSON body is required; it is empty.")
    if raw.startswith("\ufeff"):
        raise BadRequestError("The JSON starts with a byte order mark; send it without.")
    try:
        return (_rounding_decoder if may_round else _decoder).decode(raw)
    except RecursionError:
        raise BadRequestError("The JSON is nested too deeply.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequestError(f"The JSON does not parse at {place}: {error.msg}.") from None
    except ValueError:
        # Python does not read an integer of more than 4,300 digits (CVE-2020-10735).
        raise BadRequestError("The JSON has a number with too many digits.") from None


def is_equal(one: object, other: object) -> bool:
    """Return whether two JSON values are equal."""
    # Python's own == is quick, and only says too often that values are equal: 1 equals true for it.
    if one != other:
        return False
    if isinstance(one, str):
        return True
    return orjson.dumps(one, option=_SORTED) == orjson.dumps(other, option=_SORTED)


def check_metadata(
    value: object, *, field: str = "metadata", stored: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the metadata of a credential or an app if it may be stored.

    It must be an object of at most 8 levels, 50 keys and 500 elements of arrays in all, with keys
    of 1-64 characters, strings of at most 1,024 characters, integers that every reader keeps exact,
    and finite floats. Raise InvalidInputError (422) otherwise, or ContentTooLargeError (413) above
    16 KiB. `stored` is the object that `value` replaces.
    """
    if not isinstance(value, dict):
        raise InvalidInputError.for_field(field, "must be an object")
    size = _check_level(value, field=field, depth=1)
    if len(orjson.dumps(value)) > METADATA_BYTES:
        raise ContentTooLargeError(f"{field}: must be at most 16 KiB of JSON")
    if size.keys > METADATA_KEYS:
        raise InvalidInputError.for_field(field, f"must have at most {METADATA_KEYS} keys")
    # An object that was stored before the limit existed may be changed, but may not grow.
    if size.elements > METADATA_ELEMENTS and size.elements > count_elements(stored or {}):
        raise InvalidInputError.for_field(
            field, f"must have at most {METADATA_ELEMENTS} elements in all its arrays together"
        )
    return value


def check_metadata_filter(value: object) -> dict[str, Any]:
    """Return the object that metadata must contain, if the comparison is bounded work.

    The limits are those of metadata, and no array may contain an array: each of its arrays would be
    searched for in each array of a row. Raises as `check_metadata`.
    """
    metadata = check_metadata(value)
    if _has_nested_array(metadata):
        raise InvalidInputError.for_field("metadata", "must not have an array inside an array")
    return metadata


def count_elements(value: object) -> int:
    """Return the number of elements of all arrays in `value`."""
    own = len(value) if isinstance(value, list) else 0
    return own + sum(count_elements(child) for child in _get_children(value))


def _has_nested_array(value: object, *, inside: bool = False) -> bool:
    is_array = isinstance(value, list)
    return (is_array and inside) or any(
        _has_nested_array(child, inside=inside or is_array) for child in _get_children(value)
    )


def _get_children(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _Size(NamedTuple):
    """The numbers of keys and of elements of arrays in a JSON value."""

    keys: int
    elements: int


def _check_level(node: Any, *, field: str, depth: int) -> _Size:
    """Check one object or array and all below it. Return its size."""
    if depth > METADATA_DEPTH:
        raise InvalidInputError.for_field(field, f"must have at most {METADATA_DEPTH} levels")
    if isinstance(node, dict):
        for key in node:
            if error := text.find_label_error(key, max_length=METADATA_KEY_LENGTH):
                raise InvalidInputError.for_field(field, f"a key {error}")
        keys, elements, children = len(node), 0, node.values()
    else:
        keys, elements, children = 0, len(node), node
    for child in children:
        if isinstance(child, str):
            _check_text(child, field=field)
        elif isinstance(child, dict | list):
            below = _check_level(child, field=field, depth=depth + 1)
            keys, elements = keys + below.keys, elements + below.elements
        elif error := _find_leaf_error(child):
            raise InvalidInputError.for_field(field, error)
    return _Size(keys, elements)


def _check_text(value: str, *, field: str) -> None:
    if len(value) > METADATA_BYTES:
        raise ContentTooLargeError(f"{field}: must be at most 16 KiB of JSON")
    if len(value) > METADATA_STRING_LENGTH:
        raise InvalidInputError.for_field(
            field, f"a string must have at most {METADATA_STRING_LENGTH} characters"
        )
    if error := text.find_encoding_error(value):
        raise InvalidInputError.for_field(field, error)


def _find_leaf_error(value: object) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "an integer must lie within ±(2^53 - 1); send a larger one as a string"
    if isinstance(value, float):
        # PostgreSQL writes numbers out: 1e20 as an integer, 1e-300 with 300 digits.
        is_short = value == 0 or 1e-15 <= abs(value) <= MAX_INTEGER
        if not (math.isfinite(value) and is_short):
            return (
                "a number must be 0 or between 1e-15 and 2^53 - 1 in size; send others as strings"
            )
    return None


def _parse_float(literal: str) -> float:
    """Return a number with a fraction or exponent. Raise BadRequestError if it loses digits."""
    value = float(literal)
    digits = literal.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    # A double keeps 15 to 17 digits; some writers always send 17.
    if len(digits) > MAX_DIGITS or (digits and value == 0):
        raise BadRequestError(
            f"The JSON has a number with more than {MAX_DIGITS} digits, or too near to 0 to be"
            " kept; send it as a string."
        )
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise BadRequestError("The JSON has the same name twice in one object.")
    return document


def _reject_constant(name: str) -> NoReturn:
    raise BadRequestError(f"The JSON has {name}, which is not a JSON value.")


_rounding_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_constant=_reject_constant
)
_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_constant=_reject_constant, parse_float=_parse_float
)
