"""Lines of text from bytes: UTF-8, UTF-16 or Windows-1252, with line ends of any system."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from common.errors import BadRequestError
from credentials.imports.files.notices import FileNotices

CHUNK_BYTES: Final = 64 * 1024
_BYTE_ORDER_MARKS: Final = (
    # UTF-32 in little endian begins with the mark of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def detect_encoding(head: bytes) -> str:
    """Return utf-8, utf-16-le or utf-16-be for the first bytes of a file.

    Windows-1252 is recognized later, at the first line that is not UTF-8. Raises BadRequestError for
    UTF-32.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if name == "utf-32":
                raise BadRequestError("The file is UTF-32. Save it as UTF-8.")
            return name
    # Without a mark, every second byte of ASCII text in UTF-16 is NUL.
    start = head[:4]
    if len(start) == 4 and start[1::2] == b"\0\0":
        return "utf-16-le"
    return "utf-16-be" if len(start) == 4 and start[::2] == b"\0\0" else "utf-8"


def read_chunks(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield `head`, which was read from `stream` already, and then the rest."""
    yield head
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def recode(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the bytes of a file in UTF-8, without a byte order mark.

    Bytes that are said to be UTF-8 pass unchanged. Raises BadRequestError for broken UTF-16.
    """
    is_first = True
    decoder = codecs.getincrementaldecoder(encoding)() if encoding != "utf-8" else None
    for chunk in chunks:
        if decoder is not None:
            try:
                chunk = decoder.decode(chunk).encode()
            except UnicodeError:
                raise BadRequestError("The file is UTF-16, but broken. Save it again.") from None
        if is_first and chunk:
            chunk, is_first = chunk.removeprefix(codecs.BOM_UTF8), False
        yield chunk


def split_lines(chunks: Iterable[bytes], max_length: int) -> Iterator[bytes]:
    r"""Yield the lines with their ends: `\n`, `\r\n` or `\r`.

    Of a line that is longer than `max_length` more than that is yielded, so that its reader rejects
    it, and the rest is skipped: no more than two chunks are in memory.
    """
    rest, skips = b"", False
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        # After a last "\r" the next chunk may begin with "\n".
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            if not skips:
                yield line
            skips = False
        if len(rest) > max_length + 2 and not rest.endswith(b"\r"):
            if not skips:
                yield rest
            rest, skips = b"", True
    if rest and not skips:
        yield rest


class LineDecoder:
    """Decodes line after line as UTF-8, or as Windows-1252 from the first line that is not UTF-8.

    A file has one encoding. If an earlier line had UTF-8 beyond ASCII, another one that is not UTF-8
    is broken.
    """

    def __init__(self, notices: FileNotices) -> None:
        self._notices = notices
        self._encoding = ""

    def decode(self, raw: bytes) -> str:
        """Return the text of a line. Raises ValueError with the reason."""
        if raw.isascii():
            return raw.decode("ascii")
        if self._encoding != "cp1252":
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                if self._encoding:
                    raise ValueError("the line is not UTF-8, but earlier lines are") from None
            else:
                self._encoding = "utf-8"
                return text
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError:
            raise ValueError("the line is neither UTF-8 nor Windows-1252") from None
        self._encoding = "cp1252"
        self._notices.add("the file is not UTF-8; read as Windows-1252")
        return text
