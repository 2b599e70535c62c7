from __future__ import annotations

import django_filters

from common.api.filters import CreatedAfterFilter, CreatedBeforeFilter, UUIDFilter
from events.models import Event


class EventFilter(django_filters.FilterSet):
    verb = django_filters.CharFilter(strip=False)
    target = UUIDFilter(field_name="target_id", help_text="Id of the object.")
    actor = django_filters.CharFilter(strip=False)
    after = CreatedAfterFilter(field_name="time", help_text="RFC 3339, with offset.")
    before = CreatedBeforeFilter(field_name="time", help_text="RFC 3339, with offset.")

    class Meta:
        model = Event
        fields: list[str] = []
