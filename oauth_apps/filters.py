from __future__ import annotations

import django_filters

from common import health
from common.api.filters import FilterSet, JSONContainsFilter, add_dotted_filters
from oauth_apps.models import OAuthApp


@add_dotted_filters(
    health__status=django_filters.ChoiceFilter(
        field_name="health_status", choices=[(status, status) for status in health.STATUSES]
    )
)
class OAuthAppFilter(FilterSet):
    provider = django_filters.CharFilter(strip=False)
    metadata = JSONContainsFilter(help_text='A JSON object; for example {"region": "eu"}.')

    class Meta:
        model = OAuthApp
        fields: list[str] = []
