"""Validation with `schema.json`, and the choice of the error that helps."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from providers.file_checks.findings import SCHEMA, FileError


def find_schema_errors(document: object) -> Iterator[FileError]:
    for error in _get_validator().iter_errors(document):
        for cause in _find_causes(error):
            yield SCHEMA, ".".join(str(step) for step in cause.absolute_path), cause.message


@functools.cache
def _get_validator() -> Any:
    # Imported here, because every process imports this module and only `manage.py check` uses it.
    from jsonschema import Draft202012Validator

    schema = orjson.loads(Path(__file__).parent.with_name("schema.json").read_bytes())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _find_causes(error: Any) -> Iterator[Any]:
    """Yield the errors within the alternative (anyOf, oneOf) that the value is closest to."""
    branches: dict[Any, list[Any]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    # An alternative of another type was not intended: of "an object or null", a wrong object is
    # an object.
    intended = [
        causes
        for causes in branches.values()
        if not any(cause.validator == "type" and not cause.path for cause in causes)
    ]
    if not intended:
        yield error
        return
    for cause in min(intended, key=len):
        yield from _find_causes(cause)
