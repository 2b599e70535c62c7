"""`POST /v1/credentials/import`: many bodies in one request, with a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.parsers import StrictJSONParser, read_body
from common.api.query_params import read_boolean
from common.api.views import ApiView, read_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError
from common.scopes import CREDENTIALS_WRITE
from credentials.api.serializers import CredentialImportSerializer, ImportReportSerializer
from credentials.imports.batch import (
    ImportRejectedError,
    ImportReport,
    import_all_or_none,
    import_lines,
)
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine, read_array, read_ndjson

MAX_BODY: Final = 10 * 1024 * 1024
MAX_LINES: Final = 100_000


class ArrayParser(StrictJSONParser):
    """`application/json`: an array of import bodies."""

    limit = MAX_BODY


class NDJSONParser(BaseParser):
    """`application/x-ndjson`: an import body a line. Nothing is parsed before all limits are checked.

    A line of its own for each of 10 million line breaks would take gigabytes, so the count comes first.
    """

    media_type = "application/x-ndjson"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        meta = (parser_context or {})["request"].META
        raw = read_body(stream, meta, media_type or "", MAX_BODY)
        if raw.count(b"\n") > 2 * MAX_LINES:
            raise ContentTooLargeError(f"An import has at most {MAX_LINES:,} lines.")
        return raw.split(b"\n")


class ImportView(ApiView):
    """Up to 100,000 lines of 64 KiB in 10 MiB. What is wrong with a line rejects that line alone."""

    scopes = {"POST": CREDENTIALS_WRITE}
    parser_classes = [ArrayParser, NDJSONParser]
    query_parameters = frozenset({"dry_run", "atomic"})

    @extend_schema(
        request={
            "application/json": CredentialImportSerializer(many=True),
            "application/x-ndjson": CredentialImportSerializer,
        },
        parameters=[
            OpenApiParameter("dry_run", bool, description="Say what would happen; store nothing."),
            OpenApiParameter("atomic", bool, description="Store all lines, or none (422)."),
        ],
        responses={200: ImportReportSerializer, 422: ImportReportSerializer},
    )
    def post(self, request: Request) -> Response:
        dry_run, atomic = (
            read_boolean(request, name, default=False) for name in ("dry_run", "atomic")
        )
        lines = _lines(read_json(request))
        who = get_principal(request)
        run = import_all_or_none if atomic else import_lines
        try:
            report = run(lines, account_id=who.account_id, actor=who.actor, dry_run=dry_run)
        except ImportRejectedError as rejected:
            raise _refusal(rejected.report) from None
        return Response(report.to_dict())


def _lines(found: Any) -> list[ImportLine]:
    """The lines of either form, or TooLarge (413) before any is stored."""
    if not isinstance(found, list):
        raise BadRequestError("The body must be a JSON array of objects, or application/x-ndjson.")
    if sum(1 for line in found if line != b"") > MAX_LINES:
        raise ContentTooLargeError(f"An import has at most {MAX_LINES:,} lines.")
    for number, line in enumerate(found, 1):
        if len(line if isinstance(line, bytes) else _written(line)) > MAX_LINE_BYTES:
            raise ContentTooLargeError(
                f"Line {number} is longer than {MAX_LINE_BYTES // 1024} KiB."
            )
    lines = list(read_ndjson(found) if _is_raw(found) else read_array(found))
    if not lines:
        raise BadRequestError("The import has no lines.")
    return lines


def _is_raw(found: list[Any]) -> bool:
    return bool(found) and isinstance(found[0], bytes)


def _written(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
    except RecursionError:
        raise BadRequestError("The JSON is nested too deeply.") from None


def _refusal(report: ImportReport) -> InvalidInputError:
    """An import that stored nothing, as a problem that carries its report."""
    detail = f"{report.rejected} of {report.lines} lines were rejected, so none was stored."
    nothing = {"created": 0, "updated": 0, "unchanged": 0}
    return InvalidInputError(detail, extra={**report.to_dict(), **nothing})
