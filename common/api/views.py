"""What our API views share: one account's rows, and no query parameter dropped silently."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import generics, views
from rest_framework.request import Request

from common.actors import get_principal
from common.api.query_params import PAGINATION_PARAMS, reject_unknown_params
from common.db.ids import parse_uuid
from common.errors import BadRequestError, NotFoundError

Row = TypeVar("Row", bound=Model)
IDEMPOTENCY_KEY: Final = "HTTP_IDEMPOTENCY_KEY"


class ApiView(views.APIView):
    """A view states `scopes` per method or action, and `query_parameters` beside its filters."""

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    scopes: dict[str, str] = {}
    query_parameters: frozenset[str] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        reject_unknown_params(request, self.known_parameters())
        if IDEMPOTENCY_KEY in request.META and not self._takes_idempotency_key(request):
            raise BadRequestError("Idempotency-Key is not taken here.")

    def known_parameters(self) -> frozenset[str]:
        return self.query_parameters

    def _takes_idempotency_key(self, request: Request) -> bool:
        """Whether the method's handler says so (accounts.idempotency_decorator)."""
        handler = getattr(self, (request.method or "").lower(), None)
        return getattr(handler, "takes_idempotency_key", False)


class AccountView(ApiView, generics.GenericAPIView[Row]):
    """A view over the rows of the caller's account: another account's are not there."""

    def get_queryset(self) -> QuerySet[Row]:
        return super().get_queryset().filter(account_id=get_principal(self.request).account_id)

    def require_id(self, pk: str) -> uuid.UUID:
        """As `existing` below, among the rows of this view."""
        return require_id(self.get_queryset(), pk)

    def get_row(self, id: uuid.UUID) -> Row:
        """As `row` below, among the rows of this view."""
        return get_row(self.get_queryset(), id)

    @property
    def keyset_paginator(self) -> Any:
        """The paginator (config.api.pagination): DRF types it as one that may be missing."""
        return self.paginator

    def known_parameters(self) -> frozenset[str]:
        if getattr(self, "action", None) != "list":
            return self.query_parameters
        filters = getattr(self, "filterset_class", None)
        return (
            self.query_parameters | PAGINATION_PARAMS | set(filters.base_filters if filters else ())
        )


def parse_path_id(pk: str) -> uuid.UUID:
    """The id that a path names, or NotFound where it is none."""
    id = parse_uuid(pk)
    if id is None:
        raise NotFoundError()
    return id


def require_id(rows: QuerySet[Any], pk: str) -> uuid.UUID:
    """The id, or NotFound before the body is looked at: another account's is not told apart."""
    id = parse_path_id(pk)
    if not rows.filter(id=id).exists():
        raise NotFoundError()
    return id


def get_row(rows: QuerySet[Row], id: uuid.UUID) -> Row:
    """The row as it is now. Raises NotFound where there is none, or none any more."""
    found = rows.filter(id=id).first()
    if found is None:
        raise NotFoundError()
    return found


def read_object(request: Request) -> dict[str, Any]:
    """The request's JSON object; an absent body, or one that is no object, is 400."""
    found = read_json(request)
    if not isinstance(found, dict):
        raise BadRequestError("The body must be a JSON object.")
    return found


def read_optional_object(request: Request) -> dict[str, Any]:
    """The body, for a call that may do without one."""
    return read_object(request) if _has_body(request) else {}


def read_json(request: Request) -> Any:
    """What the parser read; an absent body is 400."""
    if not _has_body(request):
        raise BadRequestError("A body is required; it is empty.")
    return request.data


def reject_body(request: Request) -> None:
    """For calls that take none: whatever is sent is refused, not dropped."""
    if _has_body(request) and request.data != {}:
        raise BadRequestError("This call takes no body.")


def _has_body(request: Request) -> bool:
    """Whether one was sent: where there was none, DRF makes up an empty one without parsing."""
    return request.META.get("CONTENT_LENGTH") not in {None, "", "0"}
