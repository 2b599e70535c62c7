"""The format of a file by its first bytes, whatever its name is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from common.errors import BadRequestError
from credentials.imports.files import other_systems
from credentials.imports.files.delimited import guess_delimiter, is_separator
from credentials.imports.files.encoding import CHUNK_BYTES

Format = Literal["csv", "xlsx", "ndjson", "json"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "xlsx", "ndjson", "json")
_EXPECTED: Final = (
    "An import file is CSV or XLSX with a column kind, NDJSON, or a JSON array;"
    " `manage.py import_template KIND` writes one to fill in."
)
_decoder: Final = json.JSONDecoder()


def recognize_binary(head: bytes) -> Format | None:
    """Return xlsx, or None for what may be text. Raises BadRequestError for what is neither."""
    if description := other_systems.describe_binary(head):
        raise _build_error(description)
    return "xlsx" if head.startswith(b"PK\x03\x04") else None


def recognize_text(head: str) -> Format:
    """Return the format of a text by its beginning. Raises BadRequestError for a foreign file."""
    start = head.lstrip("\ufeff \t\r\n")
    if not start or (len(head) >= CHUNK_BYTES and not re.search("[\r\n]", head)):
        # Nothing is known about the file; each of its lines is reported by itself.
        return "ndjson"
    if start[:1] in {"{", "["} and not _is_section(start):
        return _recognize_json(start)
    first_line = _get_first_line(start)
    names = {name.strip(" \"'\r\n").lower() for name in first_line.split(",")}
    description = other_systems.describe_header(names)
    if not description and guess_delimiter(first_line) is None and not is_separator(first_line):
        description = other_systems.describe_text(start)
    if description:
        raise _build_error(description)
    return "csv"


def _is_section(start: str) -> bool:
    """Return True for a line such as [default] of an INI file."""
    line = _get_first_line(start).strip()
    return line.endswith("]") and line[1:-1].replace(" ", "").isidentifier()


def _recognize_json(start: str) -> Format:
    first = next(_iter_documents(start), None)
    if description := other_systems.describe_json(first):
        raise _build_error(description)
    if start[0] == "[":
        return "json"
    # A pretty-printed object has no line that is an object by itself.
    lines = start.splitlines()[:20]
    return "ndjson" if any(_is_object(line) for line in lines) else "json"


def _iter_documents(start: str) -> Iterator[Any]:
    """Yield the first object, if the whole of it is in `start`."""
    at = start.find("{")
    if at >= 0:
        try:
            yield _decoder.raw_decode(start, at)[0]
        except (json.JSONDecodeError, RecursionError, ValueError):
            return


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (json.JSONDecodeError, RecursionError, ValueError):
        return False


def _get_first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _build_error(description: str) -> BadRequestError:
    return BadRequestError(f"The file looks like {description}. {_EXPECTED}")
