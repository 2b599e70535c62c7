"""Keyset pages: newest first by id, so that page 10,000 costs what page 1 does."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.query_params import select_newest
from common.errors import BadRequestError
from vault.services import get_signing_key

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


Fetch = Callable[[int, uuid.UUID | None], list[Any]]
"""The newest rows, so many, before this id; each has `id`, as a UUID or its text."""


class KeysetPagination(BasePagination):
    """`{"data": […], "next_cursor": string|null}` and `Link: <…>; rel="next"`.

    A view that reads rows faster than model instances are calls `page` itself.
    """

    next_cursor: str | None = None
    request: Request

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        return self.page(functools.partial(_instances, queryset), request)

    def page(self, fetch: Fetch, request: Request, *, default: int = DEFAULT_LIMIT) -> list[Any]:
        """The page that `request` asks for. Raises BadRequest for a wrong limit or cursor."""
        self.request = request
        limit = read_limit(request, default=default)
        cursor = request.query_params.get("cursor")
        rows = fetch(limit + 1, None if cursor is None else _position(request, cursor))
        if len(rows) > limit:
            rows = rows[:limit]
            self.next_cursor = _cursor(request, _id(rows[-1]))
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        response = Response({"data": data, "next_cursor": self.next_cursor})
        self.add_link(response)
        return response

    def add_link(self, response: Response) -> None:
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

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
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


def read_limit(request: Request, *, default: int) -> int:
    sent = request.query_params.get("limit")
    if sent is None:
        return default
    if not _NUMBER.fullmatch(sent) or int(sent) > MAX_LIMIT:
        raise BadRequestError.for_field("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(sent)


def _instances(queryset: QuerySet[Any], count: int, before: uuid.UUID | None) -> list[Any]:
    return list(select_newest(queryset, count, before))


def _id(row: Any) -> uuid.UUID:
    return row.id if isinstance(row.id, uuid.UUID) else uuid.UUID(row.id)


def _cursor(request: Request, after: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(after.bytes + _seal(request, after)).decode()


def _position(request: Request, cursor: str) -> uuid.UUID:
    """Raises BadRequest unless we made `cursor` for this account, path and filters."""
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) == 32:
        after = uuid.UUID(bytes=raw[:16])
        if hmac.compare_digest(raw[16:], _seal(request, after)):
            return after
    raise BadRequestError.for_field("cursor", "is not one that this list gave for these filters")


def _seal(request: Request, after: uuid.UUID) -> bytes:
    filters = sorted(
        (k, v) for k, v in request.query_params.items() if k not in {"limit", "cursor"}
    )
    bound = repr((str(get_principal(request).account_id), request.path, filters, str(after)))
    return hmac.digest(get_signing_key("cursor"), bound.encode(), hashlib.sha256)[:16]
