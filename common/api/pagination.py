"""Parts of keyset pagination that views use. The paginator itself is config.api.pagination."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple, Protocol, TypeVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from common.db.planner import limit_list_time

Row = TypeVar("Row")


class PageSlice(NamedTuple):
    """The part of a list that a request asks for: the newest rows with an id below `before`.

    `size` is one more than the page's limit: the extra row shows that there is a next page.
    """

    size: int
    before: uuid.UUID | None


class KeysetPaginator(Protocol):
    """The paginator of a view: `slice`, then read the rows, then `cut` and respond."""

    def slice(self, request: Request, *, default: int = ...) -> PageSlice:
        """Return the slice that `request` asks for. Raise BadRequestError for an invalid one."""

    def cut(self, rows: list[Any]) -> list[Any]:
        """Return the rows of the page, without the extra row."""

    def paginate_queryset(
        self, queryset: object, request: Request, view: object = ...
    ) -> list[Any]:
        """Return the page of `queryset` that `request` asks for."""

    def get_paginated_response(self, data: object) -> Response:
        """Return the response of a page, with the cursor of the next one."""

    def add_link(self, response: Response) -> None:
        """Add the address of the next page to the headers, if there is one."""


def fetch_newest(queryset: QuerySet[Any], page: PageSlice) -> list[Any]:
    """Return the rows of `queryset`, all of one account, in the slice `page`, newest first.

    Raise ServiceUnavailableError if that takes too long.
    """
    earlier = queryset.filter(id__lt=page.before) if page.before else queryset
    # By the account first: in the order of ids alone, PostgreSQL may read other accounts' rows.
    newest = earlier.order_by("-account_id", "-id")
    with limit_list_time():
        return list(newest[: page.size])
