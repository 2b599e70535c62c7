"""Request bodies: declared as JSON, UTF-8, not compressed, and small enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

from django.utils.http import parse_header_parameters
from rest_framework.parsers import BaseParser

from common import strict_json
from common.errors import ContentTooLargeError, UnsupportedMediaTypeError


class BodyParser(BaseParser):
    """Reads a whole body of at most `limit` bytes, and returns what `read` makes of it."""

    limit: ClassVar[int] = 256 * 1024

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        meta = (parser_context or {})["request"].META
        return self.read(read_body(stream, meta, media_type or "", self.limit))

    def read(self, body: bytes) -> Any:
        return body


class StrictJSONParser(BodyParser):
    """Parses `application/json` strictly: charset absent or utf-8, at most 256 KiB."""

    media_type = "application/json"

    def read(self, body: bytes) -> Any:
        return strict_json.loads(body)


class MergePatchParser(StrictJSONParser):
    """Parses RFC 7396 documents. The view merges them."""

    media_type = "application/merge-patch+json"


def read_body(stream: IO[bytes], meta: Mapping[str, Any], media_type: str, limit: int) -> bytes:
    """Return the whole body, of at most `limit` bytes.

    Raise UnsupportedMediaTypeError (415) or ContentTooLargeError (413) before reading a byte.
    """
    kind, parameters = parse_header_parameters(media_type)
    if "*" in kind:
        raise UnsupportedMediaTypeError("Content-Type must name one media type.")
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError("The charset must be utf-8.")
    if meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError(
            "Content-Encoding is not supported; send the body as it is."
        )
    if int(meta.get("CONTENT_LENGTH") or 0) > limit:
        raise ContentTooLargeError(f"The body must be at most {limit // 1024} KiB.")
    return stream.read()
