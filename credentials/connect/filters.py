from __future__ import annotations

import django_filters

from common.api.filters import FilterSet, UUIDFilter
from credentials.connect.models import ConnectLink


class ConnectLinkFilter(FilterSet):
    status = django_filters.ChoiceFilter(
        choices=ConnectLink.Status.choices,
        help_text="The stored status: the worker marks links as expired shortly after their time.",
    )
    oauth_app_id = UUIDFilter(field_name="oauth_app_id")
    external_id = django_filters.CharFilter(strip=False)

    class Meta:
        model = ConnectLink
        fields: list[str] = []
