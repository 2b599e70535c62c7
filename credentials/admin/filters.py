"""Filters of the list of credentials."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from common import strict_json
from common.admin.filters import DateRangeFilter, HealthFilter, MenuFilter, TextInputFilter
from common.db.ids import parse_uuid
from common.errors import ServiceError
from credentials.core.displayed_health import filter_by_health_status
from credentials.core.refresh_state import REFRESH_STATES, filter_by_refresh_state
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from providers.registry import get_registry

MAX_APPS_OFFERED: Final = 100


class CredentialHealthFilter(HealthFilter):
    """The status that the list displays, which also depends on the OAuth app."""

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        status = self.value()
        return filter_by_health_status(queryset, status) if status else queryset


class KindFilter(MenuFilter):
    """A menu of the kinds of the selected provider, or of all providers."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        selected = get_registry().get_provider(request.GET.get("provider", ""))
        providers = [selected] if selected else get_registry().providers.values()
        return sorted((name, name) for provider in providers for name in provider.kinds)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class AppFilter(MenuFilter):
    """A menu of the newest apps of the selected account and provider."""

    title = "OAuth app"
    parameter_name = "oauth_app"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        apps = OAuthApp.objects.select_related("account").order_by("-id")
        if provider := request.GET.get("provider"):
            apps = apps.filter(provider=provider)
        if account := request.GET.get("account"):
            id = parse_uuid(account)
            apps = apps.filter(Q(account_id=id) if id else Q(account__slug=account))
        return [(str(app.pk), f"{app.name} ({app.account})") for app in apps[:MAX_APPS_OFFERED]]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        value = self.value()
        if not value:
            return queryset
        id = parse_uuid(value)
        return queryset.filter(oauth_app_id=id) if id else queryset.none()


class ExpiryFilter(DateRangeFilter):
    title = "expires"
    parameter_name = "expires"
    field = "expires_at"
    ranges = {
        "past": ("has expired", None, 0),
        "7": ("within 7 days", 0, 7),
        "30": ("within 30 days", 0, 30),
        "later": ("later", 30, None),
    }
    null_title = "has no end"


class LastUsedFilter(DateRangeFilter):
    title = "last used"
    parameter_name = "used"
    field = "use__last_used_at"
    ranges = {
        "1": ("in the last 24 hours", -1, None),
        "30": ("in the last 30 days", -30, None),
        "not30": ("not in the last 30 days", None, -30),
    }
    null_title = "never"


class RefreshStateFilter(MenuFilter):
    """The state that the API shows as `refresh.state`."""

    title = "refresh"
    parameter_name = "refresh_state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(state, state.replace("_", " ")) for state in REFRESH_STATES]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        state = self.value()
        return filter_by_refresh_state(queryset, state) if state else queryset


class MetadataFilter(TextInputFilter):
    """Inputs for one key and its value. As in the API, the metadata must contain `{key: value}`."""

    title = "metadata"
    inputs = {"metadata_key": "key", "metadata_value": "value"}
    help = 'JSON or plain text: 42 is the number, "42" is the text.'

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        key, value = self.get_text("metadata_key"), self.get_text("metadata_value")
        if not key and not value:
            return queryset
        if not (key and value):
            # Half a filter must not match more rows than the whole filter.
            messages.warning(request, "Metadata: type both a key and a value.")
            return queryset.none()
        parsed: Any = value
        # Text that is not JSON is the string that it looks like.
        with suppress(ServiceError):
            parsed = strict_json.loads(value)
        try:
            pair = strict_json.check_metadata_filter({key: parsed})
        except ServiceError as problem:
            messages.warning(request, f"Metadata: {problem.detail}")
            return queryset.none()
        return queryset.filter(metadata__jsoncontains=pair)
