from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from common.api.query_params import has_filters
from common.errors import BadRequestError


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter that never widens: a value that a filter cannot read is 400, naming it.

    Unknown and empty parameters are refused by the view before (common.api.views).
    """

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: Any
    ) -> QuerySet[Any]:
        if not has_filters(request):
            return queryset  # Building the filter set's form costs more than the query.
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            fields = {name: [str(e) for e in errors] for name, errors in filterset.errors.items()}
            first, reasons = next(iter(fields.items()))
            raise BadRequestError(f"{first}: {reasons[0]}", fields=fields)
        found: QuerySet[Any] = filterset.qs
        return found
