"""Where import lines come from: NDJSON and JSON arrays. Each line is parsed when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from common import strict_json
from common.errors import ContentTooLargeError

MAX_LINE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A line by its number, counted from 1, and what reads it: `body` raises Problem if it cannot."""

    number: int
    read: Callable[[], Any]


def read_ndjson(stream: Iterable[bytes]) -> Iterator[ImportLine]:
    """One JSON object a line (UTF-8, LF or CRLF); blank lines are passed over, but counted."""
    for number, raw in enumerate(stream, 1):
        if raw.strip() or len(raw) > MAX_LINE_BYTES:
            yield ImportLine(number, _json_reader(raw))


def read_array(found: Iterable[Any]) -> Iterator[ImportLine]:
    """The elements of a JSON array that the gate has read; "line" is then the element's place from 1."""
    for number, body in enumerate(found, 1):
        yield ImportLine(number, lambda body=body: body)  # type: ignore[misc]


def _json_reader(raw: bytes) -> Callable[[], Any]:
    def read() -> Any:
        if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            raise ContentTooLargeError(f"The line is longer than {MAX_LINE_BYTES // 1024} KiB.")
        return strict_json.loads(raw)

    return read
