"""Query parameters: one that a view does not know is an error, never a wider result."""

from __future__ import annotations

from typing import Final

from rest_framework.request import Request

from common.errors import BadRequest
from common.text import printable

PAGING: Final = frozenset({"limit", "cursor"})


def refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raise BadRequest for a parameter that the view does not know, or one without a value."""
    for name, value in request.query_params.items():
        if name not in known:
            raise BadRequest.of(printable(name), "unknown query parameter")
        if not value:
            raise BadRequest.of(name, "must not be empty")
