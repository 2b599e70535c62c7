"""Lists of the admin that cost the same on page 1 and page 10,000: no COUNT, no OFFSET."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from common.db.planner import force_custom_plan

_OLDER: Final = "before"
_NEWER: Final = "after"


class KeysetChangeList(ChangeList):
    """Newest first by id. `before` and `after` in the address name the row that the page borders on."""

    keyset = True
    newer_url: str | None = None
    older_url: str | None = None

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        # Taken out here, so that no filter sees them and no link to a filter keeps them.
        self._before, self._after = self._taken(_OLDER), self._taken(_NEWER)
        return super().get_queryset(request, exclude_parameters)

    def get_results(self, request: HttpRequest) -> None:
        with force_custom_plan():
            rows = self._newer() if self._after else self._older()
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = self.multi_page = False
        # No template asks it anything, as there is no page of a number.
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)

    def _older(self) -> list[Any]:
        """The first page, or the one after `before`."""
        rows = self.queryset.filter(pk__lt=self._before) if self._before else self.queryset
        found = list(rows.order_by("-pk")[: self.list_per_page + 1])
        shown = found[: self.list_per_page]
        if len(found) > len(shown):
            self.older_url = self.get_query_string({_OLDER: shown[-1].pk})
        if self._before:
            newest = shown[0].pk if shown else self._before
            self.newer_url = self.get_query_string({_NEWER: newest})
        return shown

    def _newer(self) -> list[Any]:
        """The page before: the rows next to `after`, still newest first."""
        rows = self.queryset.filter(pk__gt=self._after).order_by("pk")
        found = list(rows[: self.list_per_page + 1])
        shown = found[: self.list_per_page][::-1]
        if len(found) > len(shown):
            self.newer_url = self.get_query_string({_NEWER: shown[0].pk})
        if shown:
            self.older_url = self.get_query_string({_OLDER: shown[-1].pk})
        return shown

    def _taken(self, name: str) -> uuid.UUID | None:
        self.params.pop(name, None)
        typed = self.filter_params.pop(name, None)
        if not typed:
            return None
        try:
            return uuid.UUID(str(typed[-1]))
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
