"""Query parameters: one that a view does not know is an error, never a wider result."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.request import Request

from common.errors import BadRequest
from common.text import printable

PAGING: Final = frozenset({"limit", "cursor"})


def is_filtered(request: Request) -> bool:
    """Whether a list is asked for only a part of its rows."""
    return not request.query_params.keys() <= PAGING


def refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raise BadRequest for a parameter that the view does not know, or one without a value."""
    for name, value in request.query_params.items():
        if name not in known:
            raise BadRequest.of(printable(name), "unknown query parameter")
        if not value:
            raise BadRequest.of(name, "must not be empty")


def flag(request: Request, name: str, *, default: bool) -> bool:
    """What a parameter says that is `true` or `false`; BadRequest where it says anything else."""
    sent = request.query_params.get(name, "true" if default else "false")
    if sent not in {"true", "false"}:
        raise BadRequest.of(name, "must be true or false")
    return sent == "true"


def newest(queryset: QuerySet[Any], count: int, before: uuid.UUID | None) -> QuerySet[Any]:
    """The newest `count` rows, those before the id if one is given."""
    earlier = queryset.filter(id__lt=before) if before else queryset
    return earlier.order_by("-id")[:count]
