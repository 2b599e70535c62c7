"""Query parameters: one that a view does not know is an error, never a wider result."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.request import Request

from common.errors import BadRequestError
from common.text import escape_name

PAGINATION_PARAMS: Final = frozenset({"limit", "cursor"})


def has_filters(request: Request) -> bool:
    """Whether a list is asked for only a part of its rows."""
    return not request.query_params.keys() <= PAGINATION_PARAMS


def reject_unknown_params(request: Request, known: frozenset[str]) -> None:
    """Raise BadRequest for a parameter that the view does not know, or one without a value."""
    for name, value in request.query_params.items():
        if name not in known:
            raise BadRequestError.for_field(escape_name(name), "unknown query parameter")
        if not value:
            raise BadRequestError.for_field(name, "must not be empty")


def read_boolean(request: Request, name: str, *, default: bool) -> bool:
    """What a parameter says that is `true` or `false`; BadRequest where it says anything else."""
    sent = request.query_params.get(name, "true" if default else "false")
    if sent not in {"true", "false"}:
        raise BadRequestError.for_field(name, "must be true or false")
    return sent == "true"


def select_newest(queryset: QuerySet[Any], count: int, before: uuid.UUID | None) -> QuerySet[Any]:
    """The newest `count` rows, those before the id if one is given."""
    earlier = queryset.filter(id__lt=before) if before else queryset
    return earlier.order_by("-id")[:count]
