from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

import django_filters
from django.db.models import QuerySet

from common import health
from common.filters import ContainsFilter, MomentFilter, UUIDFilter, dotted
from common.ids import first_at
from credentials.models import Credential
from providers.registry import registry

SKEW: Final = dt.timedelta(days=1)
"""How far an id's time, an application's clock, may be from `created_at`, the database's."""


@dotted(
    health__status=django_filters.ChoiceFilter(
        field_name="health_status", choices=[(status, status) for status in health.STATUSES]
    )
)
class CredentialFilter(django_filters.FilterSet):
    provider = django_filters.CharFilter(
        strip=False, help_text="A provider's slug; an unknown one finds nothing."
    )
    kind = django_filters.CharFilter(
        strip=False, method="of_kind", help_text="A kind, or an alias of one."
    )
    metadata = ContainsFilter(
        help_text="A JSON object that the metadata contains: nested, arrays, null."
    )
    oauth_app_id = UUIDFilter(field_name="oauth_app_id")
    expiring_before = MomentFilter(field_name="expires_at", lookup_expr="lt")
    created_after = MomentFilter(method="of_after")
    created_before = MomentFilter(method="of_before")

    class Meta:
        model = Credential
        fields: list[str] = []

    def of_after(self, queryset: QuerySet[Any], name: str, value: dt.datetime) -> QuerySet[Any]:
        return queryset.filter(created_at__gt=value, id__gte=_first(value, -SKEW))

    def of_before(self, queryset: QuerySet[Any], name: str, value: dt.datetime) -> QuerySet[Any]:
        return queryset.filter(created_at__lt=value, id__lt=_first(value, SKEW))

    def of_kind(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        kind = registry().kind(value)
        return queryset.filter(kind=kind.name if kind else value)


def _first(moment: dt.datetime, plus: dt.timedelta) -> uuid.UUID:
    """The least id of that time. Lists walk ids, so the bound spares them all rows beyond it."""
    try:
        return first_at(moment + plus)
    except OverflowError:
        return first_at(moment)
