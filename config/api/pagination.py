"""Keyset pagination: newest first by id, so that page 10,000 costs as much as page 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from typing import Any, TypeVar
from urllib.parse import urlencode

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.pagination import PageSlice, fetch_newest
from common.api.query_params import DEFAULT_LIMIT, MAX_LIMIT, read_limit
from common.db.ids import to_uuid
from common.errors import BadRequestError
from common.http import get_principal
from vault.services import get_signing_key

Row = TypeVar("Row")


class KeysetPagination(BasePagination):
    """`{"data": […], "next_cursor": string|null}` and `Link: <…>; rel="next"`.

    A view whose rows are not model instances calls `slice`, reads the rows, and calls `cut`.
    """

    next_cursor: str | None = None
    request: Request
    page: PageSlice

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        return self.cut(fetch_newest(queryset, self.slice(request)))

    def slice(self, request: Request, *, default: int = DEFAULT_LIMIT) -> PageSlice:
        """Return the slice that `request` selects.

        Raise BadRequestError for an invalid limit or cursor. Without `limit` it is `default`.
        """
        limit = read_limit(request, default=default)
        cursor = request.query_params.get("cursor")
        self.request = request
        self.page = PageSlice(limit + 1, None)
        if cursor is not None:
            try:
                raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                raw = b""
            last_id = uuid.UUID(bytes=raw[:16]) if len(raw) == 32 else None
            if last_id is None or not hmac.compare_digest(raw[16:], _sign(request, last_id)):
                raise BadRequestError.for_field(
                    "cursor", "is not one that this list gave for these filters"
                )
            self.page = PageSlice(limit + 1, last_id)
        return self.page

    def cut(self, rows: list[Row]) -> list[Row]:
        """Return the rows of the page without the extra one, which gives the next page's cursor.

        Each row has `id`, a UUID or its text.
        """
        if len(rows) < self.page.size:
            return rows
        rows = rows[: self.page.size - 1]
        last: Any = rows[-1]
        last_id = to_uuid(last.id)
        signed = last_id.bytes + _sign(self.request, last_id)
        self.next_cursor = base64.urlsafe_b64encode(signed).decode()
        return rows

    def get_paginated_response(self, data: object) -> Response:
        response = Response({"data": data, "next_cursor": self.next_cursor})
        self.add_link(response)
        return response

    def add_link(self, response: Response) -> None:
        """Add the address of the next page to the headers, if there is one."""
        if self.next_cursor:
            query = urlencode({**self.request.query_params.dict(), "cursor": self.next_cursor})
            url = self.request.build_absolute_uri(f"{self.request.path}?{query}")
            response["Link"] = f'<{url}>; rel="next"'

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["data", "next_cursor"],
            "properties": {
                "data": schema,
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "Null on the last page.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: object) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        return [
            {"name": "limit", "in": "query", "schema": limit},
            {
                "name": "cursor",
                "in": "query",
                "schema": {"type": "string"},
                "description": "`next_cursor` of the page before, with the same filters.",
            },
        ]


def _sign(request: Request, last_id: uuid.UUID) -> bytes:
    """Return the MAC of a cursor, which binds it to the account, the path and the filters."""
    filters = sorted(
        (k, v) for k, v in request.query_params.items() if k not in {"limit", "cursor"}
    )
    bound = repr((str(get_principal(request).account_id), request.path, filters, str(last_id)))
    return hmac.digest(get_signing_key("cursor"), bound.encode(), hashlib.sha256)[:16]
