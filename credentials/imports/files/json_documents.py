"""Import bodies from NDJSON, and from a JSON array of any length, of which one element is in memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, NoReturn

from common import strict_json
from common.errors import BadRequestError, ContentTooLargeError
from credentials.imports.files.encoding import LineDecoder
from credentials.imports.files.values import ValueReader
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine

# Finds the end of an element and nothing else: numbers stay text, so that none is too long to read.
_finder: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_MAX_BUFFERED: Final = 2 * MAX_LINE_BYTES


def read_json_lines(
    raw_lines: Iterable[bytes], decoder: LineDecoder, values: ValueReader
) -> Iterator[ImportLine]:
    """Yield the lines of NDJSON. Blank lines are skipped, but counted."""
    for number, raw in enumerate(raw_lines, 1):
        if not raw.strip():
            continue
        if len(raw.rstrip(b"\r\n")) > MAX_LINE_BYTES:
            yield ImportLine(number, _raise_too_long)
            continue
        try:
            text = decoder.decode(raw)
        except ValueError as error:
            yield ImportLine(number, partial(_raise, f"The line does not parse: {error}."))
        else:
            yield ImportLine(number, partial(_parse, text, values))


def read_json_documents(chunks: Iterable[bytes], values: ValueReader) -> Iterator[ImportLine]:
    """Yield the elements of a JSON array, or JSON objects one after the other; numbered from 1.

    Nothing is read after an element whose end cannot be found: that one is reported.
    """
    buffer = _Buffer(chunks)
    in_array = buffer.skip("[")
    number = 0
    while not (buffer.is_at_end() or (in_array and buffer.skip("]"))):
        if number and not buffer.skip(",") and in_array:
            reason = "a comma or the end of the array is missing"
            yield ImportLine(number + 1, partial(_raise, _explain(reason)))
            return
        number += 1
        buffer.is_at_end()
        text, reason = buffer.cut_document()
        if reason:
            yield ImportLine(number, partial(_raise, _explain(reason)))
            return
        read = partial(_parse, text, values)
        yield ImportLine(number, read if len(text.encode()) <= MAX_LINE_BYTES else _raise_too_long)


class _Buffer:
    """The part of a file that is not read yet, as far as it is in memory."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def skip(self, character: str) -> bool:
        """Skip white space and then `character`. Return False if another one is next."""
        if self.is_at_end() or self._text[self._at] != character:
            return False
        self._at += 1
        return True

    def is_at_end(self) -> bool:
        """Skip white space. Return True if nothing else is left."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr] # it matches ""
            if self._at < len(self._text):
                return False
            if not self._read_more():
                return True

    def cut_document(self) -> tuple[str, str]:
        """Return the next document's text, and why that cannot be found."""
        while True:
            try:
                _, end = _finder.raw_decode(self._text, self._at)
            except RecursionError:
                return "", "it is nested too deeply"
            except json.JSONDecodeError as error:
                is_long = len(self._text) - self._at > _MAX_BUFFERED
                if is_long or not self._read_more():
                    return (
                        "",
                        f"{error.msg}; is the element longer than 64 KiB?"
                        if is_long
                        else error.msg,
                    )
                continue
            # A number or a word may go on in the next chunk.
            if end == len(self._text) and self._text[end - 1] not in '}]"' and self._read_more():
                continue
            text, self._at = self._text[self._at : end], end
            return text, ""

    def _read_more(self) -> bool:
        for chunk in self._chunks:
            try:
                text = self._decoder.decode(chunk)
            except UnicodeDecodeError:
                raise BadRequestError("The JSON is not UTF-8.") from None
            self._text, self._at = self._text[self._at :] + text, 0
            return True
        return False


def _explain(reason: str) -> str:
    return f"The JSON does not parse: {reason}. The elements from here on were not read."


def _parse(text: str, values: ValueReader) -> object:
    return values.read_body(strict_json.loads(text))


def _raise(reason: str) -> NoReturn:
    raise BadRequestError(reason)


def _raise_too_long() -> NoReturn:
    raise ContentTooLargeError(f"The line is longer than {MAX_LINE_BYTES // 1024} KiB.")
