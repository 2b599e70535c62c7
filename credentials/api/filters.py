"""Query parameters of `GET /v1/credentials`."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from common import health
from common.api.filters import (
    CreatedAfterFilter,
    CreatedBeforeFilter,
    FilterSet,
    JSONContainsFilter,
    RelativeTimeFilter,
    UUIDFilter,
    add_dotted_filters,
)
from common.db.planner import limit_list_time
from common.http import get_principal
from credentials.core.displayed_health import filter_by_health_status
from credentials.core.refresh_state import REFRESH_STATES, filter_by_refresh_state
from credentials.core.search import MAX_QUERY_LENGTH, search_credentials
from credentials.models import Credential
from providers.registry import get_registry


@add_dotted_filters(
    health__status=django_filters.ChoiceFilter(
        method="filter_health_status",
        choices=[(status, status) for status in health.STATUSES],
        help_text="The status in `health.status`.",
    ),
    refresh__state=django_filters.ChoiceFilter(
        method="filter_refresh_state",
        choices=[(state, state) for state in REFRESH_STATES],
        help_text="The state in `refresh.state`. Kinds that are not refreshed have none.",
    ),
)
class CredentialFilter(FilterSet):
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
    owner_email = django_filters.CharFilter(
        strip=False, help_text="The owner's whole address, in the case in which it was stored."
    )
    external_id = django_filters.CharFilter(strip=False, help_text="The whole external id.")
    q = django_filters.CharFilter(
        strip=False,
        max_length=MAX_QUERY_LENGTH,
        method="filter_text",
        help_text="A part of the name, the owner's address or the external id, in any case; or a whole"
        " value by which the provider identifies the account.",
    )
    expiring_before = RelativeTimeFilter(
        field_name="expires_at",
        lookup_expr="lt",
        sign=1,
        help_text="The access token or secret expires before this time.",
    )
    created_after = CreatedAfterFilter(
        field_name="created_at", help_text="Created after this time."
    )
    created_before = CreatedBeforeFilter(
        field_name="created_at", help_text="Created before this time."
    )

    class Meta:
        model = Credential
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self._contradicts_itself():
            return queryset.none()
        return super().filter_queryset(queryset)

    def _contradicts_itself(self) -> bool:
        """Return whether the kind is of another provider, so that no row can match."""
        registry = get_registry()
        kind = registry.get_kind(self.data.get("kind", ""))
        provider = registry.get_provider(self.data.get("provider", ""))
        return kind is not None and provider is not None and kind.provider != provider.slug

    def filter_kind(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        kind = get_registry().get_kind(value)
        return queryset.filter(kind=kind.name if kind else value)

    def filter_health_status(
        self, queryset: QuerySet[Credential], name: str, value: str
    ) -> QuerySet[Credential]:
        account_id = get_principal(self.request).account_id
        return filter_by_health_status(queryset, value, account_id=account_id)

    def filter_refresh_state(
        self, queryset: QuerySet[Credential], name: str, value: str
    ) -> QuerySet[Credential]:
        return filter_by_refresh_state(queryset, value)

    def filter_text(
        self, queryset: QuerySet[Credential], name: str, value: str
    ) -> QuerySet[Credential]:
        if not value.strip():
            return queryset.none()
        # The search reads ids by a statement of its own.
        with limit_list_time():
            account_id = get_principal(self.request).account_id
            return search_credentials(queryset, value, account_id=account_id)
