"""The filter backend of all lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from common.api.query_params import has_filters
from common.errors import BadRequestError


class StrictFilterBackend(DjangoFilterBackend):
    """A filter backend that responds with 400 to a value that a filter cannot read.

    The view has already rejected unknown and empty parameters (common.api.views).
    """

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: object
    ) -> QuerySet[Any]:
        # Building the filter set's form costs more than the query.
        if not has_filters(request):
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            fields = {name: [str(e) for e in errors] for name, errors in filterset.errors.items()}
            name, reasons = next(iter(fields.items()))
            raise BadRequestError(f"{name}: {reasons[0]}", fields=fields)
        filtered: QuerySet[Any] = filterset.qs
        return filtered
