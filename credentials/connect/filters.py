from __future__ import annotations

import django_filters

from common.api.filters import UUIDFilter
from credentials.connect.models import ConnectLink


class ConnectLinkFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(
        choices=ConnectLink.Status.choices, help_text="As stored: a link expires when it is swept."
    )
    oauth_app_id = UUIDFilter(field_name="oauth_app_id")
    external_id = django_filters.CharFilter(strip=False)

    class Meta:
        model = ConnectLink
        fields: list[str] = []
