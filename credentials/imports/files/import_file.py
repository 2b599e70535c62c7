"""The lines of a file in any of the formats."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from common.errors import ContentTooLargeError
from credentials.imports.files import workbook
from credentials.imports.files.dates import DateOrder
from credentials.imports.files.delimited import read_delimited
from credentials.imports.files.encoding import (
    CHUNK_BYTES,
    LineDecoder,
    detect_encoding,
    read_chunks,
    recode,
    split_lines,
)
from credentials.imports.files.json_documents import read_json_documents, read_json_lines
from credentials.imports.files.notices import FileNotices
from credentials.imports.files.recognition import Format, recognize_binary, recognize_text
from credentials.imports.files.values import ValueReader
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file whose format is known. `lines` read it as they are requested.

    `notices` fill while it is read.
    """

    format: Format
    lines: Iterator[ImportLine]
    notices: FileNotices = field(default_factory=FileNotices)


def open_import_file(
    stream: BinaryIO, *, format: Format | None = None, dates: DateOrder | None = None
) -> ImportFile:
    """Return the lines of `stream`, in `format` or in the one that its content shows.

    `dates` says what 01/02/2027 is; without it such dates are rejected. Raises BadRequestError for a
    file that is something else, or ContentTooLargeError. `lines` raise them, too.
    """
    notices = FileNotices()
    values = ValueReader(notices, dates)
    head = stream.read(CHUNK_BYTES)
    if format == "xlsx" or (format is None and recognize_binary(head) == "xlsx"):
        lines = workbook.read_workbook(_make_seekable(head, stream), values, notices)
        return ImportFile("xlsx", lines, notices)
    encoding = detect_encoding(head)
    if format is None:
        format = recognize_text(head.decode(encoding, errors="replace"))
    chunks = recode(read_chunks(head, stream), encoding)
    if format == "json":
        return ImportFile("json", read_json_documents(chunks, values), notices)
    read = read_delimited if format == "csv" else read_json_lines
    lines = read(split_lines(chunks, MAX_LINE_BYTES), LineDecoder(notices), values)
    return ImportFile(format, lines, notices)


def _make_seekable(head: bytes, stream: BinaryIO) -> BinaryIO:
    """Return the file with its position at the start, as an archive needs it: in memory from a pipe.

    It is never written to a disk, because it has secrets.
    """
    if not stream.seekable():
        chunks, size = [], 0
        for chunk in read_chunks(head, stream):
            size += len(chunk)
            if size > workbook.MAX_FILE_BYTES:
                raise _build_size_error()
            chunks.append(chunk)
        return io.BytesIO(b"".join(chunks))
    if stream.seek(0, io.SEEK_END) > workbook.MAX_FILE_BYTES:
        raise _build_size_error()
    stream.seek(0)
    return stream


def _build_size_error() -> ContentTooLargeError:
    return ContentTooLargeError(
        f"A workbook has at most {workbook.MAX_FILE_BYTES // 1024**2} MiB. Save it as CSV."
    )
