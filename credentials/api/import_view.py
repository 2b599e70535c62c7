"""`POST /v1/credentials/import`: many import bodies in one request, with a report."""

from __future__ import annotations

import io
import itertools
import json
from typing import Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.rate_limits import consume_token_quota, running_imports
from common.api.parsers import BodyParser, StrictJSONParser
from common.api.query_params import read_boolean, read_choice
from common.api.views import ApiView, read_json
from common.errors import BadRequestError, ContentTooLargeError, InvalidInputError
from common.http import get_http_request, get_principal
from common.scopes import CREDENTIALS_WRITE
from credentials.api.serializers import CredentialImportSerializer, ImportReportSerializer
from credentials.imports.batch import ImportRejectedError, import_all_or_none, import_lines
from credentials.imports.files.dates import DATE_ORDERS
from credentials.imports.files.import_file import open_import_file
from credentials.imports.files.notices import FileNotices
from credentials.imports.files.recognition import FORMATS
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine, read_array, read_ndjson

MAX_BODY: Final = 10 * 1024 * 1024
MAX_LINES: Final = 100_000


class ArrayParser(StrictJSONParser):
    """Parser of `application/json`: an array of import bodies."""

    limit = MAX_BODY


class NDJSONParser(BodyParser):
    """Splitter of `application/x-ndjson`: one import body on each line, not parsed yet."""

    media_type = "application/x-ndjson"
    limit = MAX_BODY

    def read(self, body: bytes) -> list[bytes]:
        # An object for each of 10 million line breaks would take gigabytes. Twice the limit, as blank
        # lines are allowed and do not count.
        if body.count(b"\n") > 2 * MAX_LINES:
            raise ContentTooLargeError(f"An import has at most {MAX_LINES:,} lines.")
        return body.split(b"\n")


class FileParser(BodyParser):
    """Reader of a whole file, whose content decides what it is."""

    media_type = "application/octet-stream"
    limit = MAX_BODY


class CSVParser(FileParser):
    media_type = "text/csv"


class WorkbookParser(FileParser):
    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class ImportView(ApiView):
    """Import up to 100,000 lines of 64 KiB in 10 MiB. An invalid line rejects only that line."""

    scopes = {"POST": CREDENTIALS_WRITE}
    rate_limits = {"POST": "import"}
    parser_classes = [ArrayParser, NDJSONParser, CSVParser, WorkbookParser, FileParser]
    query_parameters = frozenset({"dry_run", "atomic", "hold", "format", "dates"})

    @extend_schema(
        request={
            "application/json": CredentialImportSerializer(many=True),
            "application/x-ndjson": CredentialImportSerializer,
            CSVParser.media_type: OpenApiTypes.STR,
            WorkbookParser.media_type: OpenApiTypes.BINARY,
            FileParser.media_type: OpenApiTypes.BINARY,
        },
        parameters=[
            OpenApiParameter(
                "dry_run", bool, description="Report what would happen; store nothing."
            ),
            OpenApiParameter("atomic", bool, description="Store all lines, or none (422)."),
            OpenApiParameter(
                "hold",
                bool,
                description="Put all grants on hold, or release them, unless a line says otherwise.",
            ),
            OpenApiParameter(
                "format",
                str,
                enum=FORMATS,
                description="Read an `application/octet-stream` as this, whatever it looks like.",
            ),
            OpenApiParameter(
                "dates",
                str,
                enum=DATE_ORDERS,
                description="What 01/02/2027 is in a file: day or month first. Otherwise such dates are"
                " rejected.",
            ),
        ],
        responses={200: ImportReportSerializer, 422: ImportReportSerializer},
    )
    def post(self, request: Request) -> Response:
        dry_run = read_boolean(request, "dry_run", default=False)
        atomic = read_boolean(request, "atomic", default=False)
        hold: bool | None = None
        if "hold" in request.query_params:
            hold = read_boolean(request, "hold", default=False)
        lines, notices = _read_lines(request)
        principal = get_principal(request)
        consume_token_quota(get_http_request(request), principal, "import_lines", len(lines))
        run = import_all_or_none if atomic else import_lines
        try:
            with running_imports.acquire(principal.account_id):
                report = run(
                    lines,
                    account_id=principal.account_id,
                    actor=principal.actor,
                    dry_run=dry_run,
                    hold=hold,
                    notices=notices,
                )
        except ImportRejectedError as error:
            detail = f"{error.report.rejected} of {error.report.lines} lines were rejected, so none was stored."
            # The report counts what would have been stored without the rejected lines.
            nothing_stored = {"created": 0, "updated": 0, "unchanged": 0}
            raise InvalidInputError(
                detail, extra={**error.report.to_dict(), **nothing_stored}
            ) from None
        return Response(report.to_dict())


def _read_lines(request: Request) -> tuple[list[ImportLine], FileNotices]:
    """Return the lines of the body, and what its reader reports.

    Raises BadRequestError, or ContentTooLargeError (413) before any line is stored.
    """
    payload = read_json(request)
    format = read_choice(request, "format", FORMATS)
    dates = read_choice(request, "dates", DATE_ORDERS)
    if isinstance(payload, bytes):
        if (request.content_type or "").lower().startswith(CSVParser.media_type):
            format = "csv"
        file = open_import_file(io.BytesIO(payload), format=format, dates=dates)
        lines = list(itertools.islice(file.lines, MAX_LINES + 1))
        if len(lines) > MAX_LINES:
            raise ContentTooLargeError(f"An import has at most {MAX_LINES:,} lines.")
        notices = file.notices
    else:
        if format or dates:
            raise BadRequestError("format and dates are for files: text/csv, XLSX, octet-stream.")
        lines, notices = _read_bodies(payload), FileNotices()
    if not lines:
        raise BadRequestError("The import has no lines.")
    return lines, notices


def _read_bodies(payload: object) -> list[ImportLine]:
    """Return the lines of a parsed array, or of the raw lines of an NDJSON body.

    Raises ContentTooLargeError (413) for too many lines or too long ones, before any is stored.
    """
    if not isinstance(payload, list):
        raise BadRequestError("The body must be a JSON array of objects, or application/x-ndjson.")
    if sum(line != b"" for line in payload) > MAX_LINES:
        raise ContentTooLargeError(f"An import has at most {MAX_LINES:,} lines.")
    for number, line in enumerate(payload, 1):
        try:
            # A lone surrogate is rejected later, with the number of its line.
            raw = (
                line
                if isinstance(line, bytes)
                else json.dumps(line, ensure_ascii=False).encode(errors="surrogatepass")
            )
        except RecursionError:
            raise BadRequestError("The JSON is nested too deeply.") from None
        if len(raw) > MAX_LINE_BYTES:
            raise ContentTooLargeError(
                f"Line {number} is longer than {MAX_LINE_BYTES // 1024} KiB."
            )
    is_ndjson = bool(payload) and isinstance(payload[0], bytes)
    return list(read_ndjson(payload) if is_ndjson else read_array(payload))
