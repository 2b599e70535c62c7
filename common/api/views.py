"""Base views of the API: rows of the caller's account, and no query parameter silently ignored."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypeVar, cast

from django.db.models import Model, QuerySet
from rest_framework import generics, views
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.pagination import KeysetPaginator
from common.api.query_params import PAGINATION_PARAMS, reject_unknown_params
from common.db.ids import parse_uuid
from common.errors import BadRequestError, NotFoundError
from common.http import get_http_request, get_principal

Row = TypeVar("Row", bound=Model)
IDEMPOTENCY_KEY: Final = "HTTP_IDEMPOTENCY_KEY"


class ApiView(views.APIView):
    """A view that states its `scopes` per method or action, and its `query_parameters`.

    `rate_limits` has the names of limits per method (accounts.rate_limits); most calls have none.
    """

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    scopes: dict[str, str] = {}
    query_parameters: frozenset[str] = frozenset()
    rate_limits: dict[str, str] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        reject_unknown_params(request, self.known_parameters())
        if IDEMPOTENCY_KEY in request.META:
            handler = getattr(self, (request.method or "").lower(), None)
            # accounts.idempotency_decorator marks the handlers that accept the header.
            if not getattr(handler, "takes_idempotency_key", False):
                raise BadRequestError("Idempotency-Key is not taken here.")

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        finalized: Response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in get_http_request(request).rate_limit_headers.items():
            finalized[name] = value
        return finalized

    def known_parameters(self) -> frozenset[str]:
        """Return the names of the query parameters that this call accepts."""
        return self.query_parameters


class AccountView(ApiView, generics.GenericAPIView[Row]):
    """A view over the rows of the caller's account. Rows of other accounts are not found."""

    def get_queryset(self) -> QuerySet[Row]:
        return super().get_queryset().filter(account_id=get_principal(self.request).account_id)

    def require_id(self, pk: str) -> uuid.UUID:
        """Return the id in the path. Raise NotFoundError unless this view has such a row."""
        return require_id(self.get_queryset(), pk)

    def get_row(self, id: uuid.UUID) -> Row:
        """Return the row of this view. Raise NotFoundError if there is none."""
        return get_row(self.get_queryset(), id)

    @property
    def keyset_paginator(self) -> KeysetPaginator:
        """Return the paginator. DRF's own type says that it may be None."""
        return cast(KeysetPaginator, self.paginator)

    def known_parameters(self) -> frozenset[str]:
        if getattr(self, "action", None) != "list":
            return self.query_parameters
        filters = getattr(self, "filterset_class", None)
        return (
            self.query_parameters | PAGINATION_PARAMS | set(filters.base_filters if filters else ())
        )


def parse_path_id(pk: str) -> uuid.UUID:
    """Return the id in the path. Raise NotFoundError if it is not a UUID."""
    id = parse_uuid(pk)
    if id is None:
        raise NotFoundError()
    return id


def require_id(rows: QuerySet[Any], pk: str) -> uuid.UUID:
    """Return the id in the path. Raise NotFoundError unless `rows` has it.

    Call it before reading the body, so that another account's id gives the same response as an
    unknown one, whatever the body.
    """
    id = parse_path_id(pk)
    if not rows.filter(id=id).exists():
        raise NotFoundError()
    return id


def get_row(rows: QuerySet[Row], id: uuid.UUID) -> Row:
    """Return the row as it is now. Raise NotFoundError if it does not exist, or not any more."""
    row = rows.filter(id=id).first()
    if row is None:
        raise NotFoundError()
    return row


def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body. Raise BadRequestError if there is none."""
    document = read_json(request)
    if not isinstance(document, dict):
        raise BadRequestError("The body must be a JSON object.")
    return document


def read_optional_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, or an empty one if there is no body."""
    return read_object(request) if _has_body(request) else {}


def read_json(request: Request) -> Any:
    """Return the parsed body. Raise BadRequestError if there is none."""
    if not _has_body(request):
        raise BadRequestError("A body is required; it is empty.")
    return request.data


def reject_body(request: Request) -> None:
    """Raise BadRequestError if the request has a body that would otherwise be ignored."""
    if _has_body(request) and request.data != {}:
        raise BadRequestError("This call takes no body.")


def _has_body(request: Request) -> bool:
    # `request.data` cannot tell: without a body, DRF returns an empty one and calls no parser.
    return request.META.get("CONTENT_LENGTH") not in {None, "", "0"}
