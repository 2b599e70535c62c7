"""Keyset pagination of admin lists: no COUNT and no OFFSET, so every page costs the same."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

_OLDER: Final = "before"
_NEWER: Final = "after"


class KeysetChangeList(ChangeList):
    """A list in descending order of ids. The parameters `before` and `after` name a bordering row."""

    keyset = True
    newer_url: str | None = None
    older_url: str | None = None

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        # Removed here, so that no filter reads them and no link of a filter repeats them.
        self._before, self._after = self._pop_id(_OLDER), self._pop_id(_NEWER)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        rows = self._read_newer_page() if self._after else self._read_older_page()
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False
        # Django requires a paginator, but no template uses it: there are no page numbers.
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _read_older_page(self) -> list[Any]:
        """Return the first page, or the one that follows the row `before`."""
        queryset = self.queryset.filter(pk__lt=self._before) if self._before else self.queryset
        # One row more than the page has shows whether there is another page.
        rows = list(queryset.order_by("-pk")[: self.list_per_page + 1])
        page = rows[: self.list_per_page]
        if len(rows) > len(page):
            self.older_url = self.get_query_string({_OLDER: page[-1].pk})
        if self._before:
            newest = page[0].pk if page else self._before
            self.newer_url = self.get_query_string({_NEWER: newest})
        return page

    def _read_newer_page(self) -> list[Any]:
        """Return the page that precedes the row `after`, also newest first."""
        queryset = self.queryset.filter(pk__gt=self._after).order_by("pk")
        rows = list(queryset[: self.list_per_page + 1])
        page = rows[: self.list_per_page][::-1]
        if len(rows) > len(page):
            self.newer_url = self.get_query_string({_NEWER: page[0].pk})
        if page:
            self.older_url = self.get_query_string({_OLDER: page[-1].pk})
        return page

    def _pop_id(self, name: str) -> uuid.UUID | None:
        self.params.pop(name, None)
        values = self.filter_params.pop(name, None)
        if not values:
            return None
        try:
            return uuid.UUID(str(values[-1]))
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
