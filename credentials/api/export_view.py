"""`GET /v1/credentials/export`: the credentials that match the filters, in a form that an import reads."""

from __future__ import annotations

import itertools

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from common.api.query_params import read_choice
from common.api.views import AccountView
from common.concurrency import request_slots
from common.scopes import CREDENTIALS_READ
from credentials.api.filters import CredentialFilter
from credentials.imports.files.recognition import FORMATS
from credentials.imports.files.templates import MEDIA_TYPES
from credentials.models import Credential
from credentials.services.export import iter_documents
from credentials.services.export_formats import require_workbook_size, write_export


class ExportView(AccountView[Credential]):
    """Export credentials without secrets, newest first, with the filters of the list."""

    scopes = {"GET": CREDENTIALS_READ}
    queryset = Credential.objects.all()
    filterset_class = CredentialFilter
    pagination_class = None
    query_parameters = frozenset({"format", *CredentialFilter.base_filters})

    @extend_schema(
        description="Each line is an import body with `id` and `etag`: imported again, it changes name,"
        " owner, metadata and properties, and no secret. XLSX has at most 200,000 credentials.",
        parameters=[
            OpenApiParameter("format", str, enum=FORMATS, description="Default: ndjson."),
        ],
        responses={
            (200, MEDIA_TYPES["ndjson"]): OpenApiTypes.STR,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, MEDIA_TYPES["xlsx"]): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        format = read_choice(request, "format", FORMATS) or "ndjson"
        rows = self.filter_queryset(self.get_queryset())
        if format == "xlsx":
            require_workbook_size(rows)
        documents = iter_documents(rows, reading=request_slots.acquire_again)
        # The first page decides about the status. What fails later ends the response early.
        first = list(itertools.islice(documents, 1))
        response = StreamingHttpResponse(
            write_export(itertools.chain(first, documents), format),
            content_type=MEDIA_TYPES[format],
        )
        response["Content-Disposition"] = f'attachment; filename="credentials.{format}"'
        return response
