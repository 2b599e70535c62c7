"""The upload of an import file: in memory only, and up to a limit."""

from __future__ import annotations

import io
from typing import Any, Final

from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

MAX_FILE_BYTES: Final = 5 * 1024 * 1024


class BoundedUpload(FileUploadHandler):
    """Upload handler that keeps up to MAX_FILE_BYTES, in one file or in several.

    If more is uploaded it keeps nothing, and sets `too_large`.
    """

    too_large = False
    _received = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._buffer = io.BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._received += len(raw_data)
        if self._received > MAX_FILE_BYTES:
            self.too_large = True
            # The memory is free at once, and not only after the rest of the upload.
            self._buffer = io.BytesIO()
            raise SkipFile
        self._buffer.write(raw_data)

    def file_complete(self, file_size: int) -> InMemoryUploadedFile | None:
        if self.too_large:
            return None
        self._buffer.seek(0)
        return InMemoryUploadedFile(
            file=self._buffer,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
        )
