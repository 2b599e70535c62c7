"""Query parameters of `GET /v1/events`."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from common.api.filters import CreatedAfterFilter, CreatedBeforeFilter, FilterSet, UUIDFilter
from events.models import Event
from events.verbs import list_stored_verbs


class VerbFilter(django_filters.CharFilter):
    """An exact match that also finds events stored under the former word of a renamed verb."""

    def filter(self, qs: QuerySet[Event], value: str) -> QuerySet[Event]:
        return qs.filter(verb__in=list_stored_verbs(value)) if value else qs


class EventFilter(FilterSet):
    verb = VerbFilter(strip=False)
    target = UUIDFilter(field_name="target_id", help_text="Id of the object.")
    actor = django_filters.CharFilter(strip=False)
    after = CreatedAfterFilter(field_name="time", help_text="Recorded after this time.")
    before = CreatedBeforeFilter(field_name="time", help_text="Recorded before this time.")

    class Meta:
        model = Event
        fields: list[str] = []
