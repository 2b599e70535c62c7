"""Query parameters of `GET /v1/credentials`."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from common import health
from common.api.filters import (
    CreatedAfterFilter,
    CreatedBeforeFilter,
    JSONContainsFilter,
    StrictDateTimeFilter,
    UUIDFilter,
    add_dotted_filters,
)
from credentials.models import Credential
from providers.registry import get_registry


@add_dotted_filters(
    health__status=django_filters.ChoiceFilter(
        field_name="health_status", choices=[(status, status) for status in health.STATUSES]
    )
)
class CredentialFilter(django_filters.FilterSet):
    provider = django_filters.CharFilter(
        strip=False, help_text="A provider's slug. An unknown slug matches nothing."
    )
    kind = django_filters.CharFilter(
        strip=False, method="filter_kind", help_text="A kind, or an alias of one."
    )
    metadata = JSONContainsFilter(
        help_text="A JSON object that the metadata must contain. Nested objects, arrays and null work too."
    )
    oauth_app_id = UUIDFilter(field_name="oauth_app_id")
    expiring_before = StrictDateTimeFilter(field_name="expires_at", lookup_expr="lt")
    created_after = CreatedAfterFilter(field_name="created_at")
    created_before = CreatedBeforeFilter(field_name="created_at")

    class Meta:
        model = Credential
        fields: list[str] = []

    def filter_kind(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        kind = get_registry().get_kind(value)
        return queryset.filter(kind=kind.name if kind else value)
