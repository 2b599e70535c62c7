"""System checks of the provider files: `manage.py check` names the file and the field of each fault.

Only here are the files held to `schema.json`; reading them (`registry.py`) checks nothing, for speed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from providers.check_messages import DUPLICATE, SCHEMA, UNREADABLE, FileError
from providers.custom_provider_kind import CUSTOM
from providers.file_checks import find_file_errors
from providers.registry import list_data_files


def check_providers(**_: Any) -> list[CheckMessage]:
    """Each fault of each provider file, as `<file>: <field>: <what is wrong>`."""
    try:
        files = list_data_files()
    except ImproperlyConfigured as error:
        return [Error(str(error), id=UNREADABLE)]
    messages: list[CheckMessage] = []
    sound: list[tuple[Path, Any]] = []
    for path in files:
        document, found = _read(path)
        messages += [_message(path, fault) for fault in found]
        if document is not None:
            sound.append((path, document))
    return messages + [_message(path, fault) for path, fault in _duplicates(sound)]


def _read(path: Path) -> tuple[Any, list[FileError]]:
    """The document of a file if the schema accepts it, and the file's faults."""
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return None, [(UNREADABLE, "", f"is not readable JSON: {error}")]
    if refused := list(_schema_faults(document)):
        return None, refused
    return document, list(find_file_errors(path, document))


def _message(path: Path, fault: FileError) -> Error:
    code, field, reason = fault
    return Error(": ".join(part for part in (str(path), field, reason) if part), id=code)


@functools.cache
def _validator() -> Any:
    # Imported here, as every process has these checks and only `manage.py check` runs them.
    from jsonschema import Draft202012Validator

    schema = orjson.loads(Path(__file__).with_name("schema.json").read_bytes())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _schema_faults(document: Any) -> Iterator[FileError]:
    for error in _validator().iter_errors(document):
        for cause in _causes(error):
            yield SCHEMA, ".".join(str(step) for step in cause.absolute_path), cause.message


def _causes(error: Any) -> Iterator[Any]:
    """What is wrong inside the alternative (anyOf, oneOf) that the value comes nearest to.

    An alternative of another type is none that was meant: what may be null, and is not, is not null.
    """
    branches: dict[Any, list[Any]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    meant = [causes for causes in branches.values() if not any(_is_other(c) for c in causes)]
    if not meant:
        yield error
        return
    for cause in min(meant, key=len):
        yield from _causes(cause)


def _is_other(cause: Any) -> bool:
    return cause.validator == "type" and not cause.path


def _duplicates(documents: list[tuple[Path, Any]]) -> Iterator[tuple[Path, FileError]]:
    slugs: set[str] = set()
    kinds: set[str] = set(CUSTOM["kinds"])
    for path, document in documents:
        if document["slug"] in slugs:
            yield path, (DUPLICATE, "slug", f"{document['slug']} is taken")
        slugs.add(document["slug"])
        for name, kind in document["kinds"].items():
            for each in (name, *kind.get("aliases", ())):
                if each in kinds:
                    yield path, (DUPLICATE, f"kinds.{name}", f"{each} is taken")
                kinds.add(each)
