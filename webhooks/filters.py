from __future__ import annotations

import django_filters

from common.api.filters import FilterSet
from webhooks.event_types import EVENT_TYPES
from webhooks.models import DeliveryState, WebhookDelivery


class DeliveryFilter(FilterSet):
    state = django_filters.ChoiceFilter(choices=DeliveryState.choices)
    type = django_filters.ChoiceFilter(choices=[(type, type) for type in EVENT_TYPES])

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []
