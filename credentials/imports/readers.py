"""Import lines from NDJSON and JSON arrays. A line is parsed only when it is validated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from common import strict_json
from common.errors import ContentTooLargeError

MAX_LINE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A line with its number, which starts at 1. `read` parses it, or raises ServiceError."""

    number: int
    read: Callable[[], Any]


def read_ndjson(stream: Iterable[bytes]) -> Iterator[ImportLine]:
    """Yield the lines of NDJSON (UTF-8, LF or CRLF). Blank lines are skipped, but counted."""
    for number, raw in enumerate(stream, 1):
        if raw.strip() or len(raw) > MAX_LINE_BYTES:
            yield ImportLine(number, partial(_parse_line, raw))


def read_array(bodies: Iterable[Any]) -> Iterator[ImportLine]:
    """Yield the elements of a parsed JSON array. The number of a line is its position, from 1."""
    for number, body in enumerate(bodies, 1):
        yield ImportLine(number, partial(_return, body))


def _parse_line(raw: bytes) -> object:
    if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
        raise ContentTooLargeError(f"The line is longer than {MAX_LINE_BYTES // 1024} KiB.")
    return strict_json.loads(raw)


def _return(body: object) -> object:
    return body
