from __future__ import annotations

import django_filters

from webhooks.event_types import TYPES
from webhooks.models import State, WebhookDelivery


class DeliveryFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=State.choices)
    type = django_filters.ChoiceFilter(choices=[(type, type) for type in TYPES])

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []
