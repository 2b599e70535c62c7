"""Taking a file from a form: in memory alone, and no more of it than is allowed."""

from __future__ import annotations

import io
from typing import Any, Final

from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

MAX_FILE_BYTES: Final = 5 * 1024 * 1024


class BoundedUpload(FileUploadHandler):
    """Keeps up to MAX_FILE bytes; of more, in one file or in many, nothing but that it was `too_large`."""

    too_large = False
    _taken = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._held = io.BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._taken += len(raw_data)
        if self._taken > MAX_FILE_BYTES:
            self.too_large = True
            self._held = io.BytesIO()
            raise SkipFile
        self._held.write(raw_data)

    def file_complete(self, file_size: int) -> InMemoryUploadedFile | None:
        if self.too_large:
            return None
        self._held.seek(0)
        return InMemoryUploadedFile(
            file=self._held,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
        )
