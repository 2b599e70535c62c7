"""Validation of provider files, for `manage.py check`; `registry` reads them without it, for speed.

`find_errors` is the only entry. It applies `schema.json`, then the rules that a schema cannot
express: `kinds`, `connect`, `urls`, `oauth`, `limits` and `facts` have one group of them each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from providers.custom_provider_kind import CUSTOM
from providers.file_checks.facts import find_fact_errors
from providers.file_checks.findings import (
    DUPLICATE,
    FILE_NAME,
    FORMAT,
    UNREADABLE,
    FileError,
)
from providers.file_checks.kinds import find_kind_errors
from providers.file_checks.limits import find_limit_errors
from providers.file_checks.oauth import find_oauth_errors
from providers.file_checks.schema import find_schema_errors
from providers.file_checks.urls import find_variable_errors

_RULES: Final = (
    find_limit_errors,
    find_variable_errors,
    find_oauth_errors,
    find_kind_errors,
    find_fact_errors,
)


def find_errors(paths: Iterable[Path]) -> Iterator[tuple[Path, FileError]]:
    """Yield every error of the files, each with its path."""
    documents: list[tuple[Path, Any]] = []
    for path in paths:
        try:
            document = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            yield path, (UNREADABLE, "", f"is not readable JSON: {error}")
            continue
        if isinstance(document, dict) and "format" not in document:
            reason = "is missing: manage.py convert_provider_files converts the first format"
            yield path, (FORMAT, "format", reason)
            continue
        # The rules below rely on the shape that the schema guarantees.
        if schema_errors := list(find_schema_errors(document)):
            yield from ((path, error) for error in schema_errors)
            continue
        documents.append((path, document))
        if path.stem != document["slug"]:
            yield path, (FILE_NAME, "slug", "is not the name of the file")
        for rules in _RULES:
            yield from ((path, error) for error in rules(document))
    yield from _find_duplicates(documents)


def _find_duplicates(documents: list[tuple[Path, Any]]) -> Iterator[tuple[Path, FileError]]:
    slugs: set[str] = set()
    kinds: set[str] = set(CUSTOM["kinds"])
    for path, document in documents:
        if document["slug"] in slugs:
            yield path, (DUPLICATE, "slug", f"{document['slug']} is in use already")
        slugs.add(document["slug"])
        for name, kind in document["kinds"].items():
            for each in (name, *kind.get("aliases", ())):
                if each in kinds:
                    yield path, (DUPLICATE, f"kinds.{name}", f"{each} is in use already")
                kinds.add(each)
