"""Admin pages of OAuth apps. Secrets can be entered, but are never displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.utils import flatten
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from accounts.reauthentication_form import (
    PROOF_FIELDS,
    PROOF_FIELDSET,
    ReauthenticationAdminMixin,
)
from common.admin.filters import AccountFilter, HealthFilter, MenuFilter
from common.admin.formatting import display_column, format_badge, format_health, format_minute
from common.admin.forms import ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor, read_form_etags
from events.admin import EventHistoryMixin, render_recent_events
from oauth_apps.admin_forms import OAuthAppAddForm, OAuthAppForm
from oauth_apps.models import OAuthApp
from oauth_apps.serializers import OAuthAppCreateSerializer, OAuthAppUpdateSerializer
from oauth_apps.services import (
    OAuthAppChanges,
    oauth_app_create,
    oauth_app_delete,
    oauth_app_update,
)
from providers.properties import MASK
from providers.registry import get_registry

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

_ADDED = (
    "account", "provider", "name", "client_id", "client_secret", "redirect_uris", "scopes",
    "config", "authorize_params", "metadata",
)  # fmt: skip
_EDITED = ("name", "redirect_uris", "scopes", "config", "authorize_params", "metadata")
_SECRET = ("client_secret", "drop_old_secret", "revision")
_FACTS = (("id", "account"), ("provider", "client_id"), ("created", "updated"))


class ProviderFilter(MenuFilter):
    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [
            (slug, provider.name) for slug, provider in sorted(get_registry().providers.items())
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        slug = self.value()
        if slug == "custom":
            return queryset.filter(provider__startswith="custom.")
        return queryset.filter(provider=slug) if slug else queryset


@admin.register(OAuthApp)
class OAuthAppAdmin(ReauthenticationAdminMixin, EventHistoryMixin, ServiceAdmin[OAuthApp]):
    form = OAuthAppForm
    add_form = OAuthAppAddForm
    list_display = ("name", "provider", "client_id", "status", "account", "created")
    list_filter = (AccountFilter, ProviderFilter, HealthFilter)
    list_select_related = ("account",)
    readonly_fields = (*flatten(_FACTS), "live_secrets", "health_now", "latest")
    search_fields = ("name", "client_id")
    search_help_text = "Name, client id or id."
    sortable_by = ("name",)

    status = display_column("health", format_badge, "health_status")
    created = display_column("created (UTC)", format_minute, "created_at")
    updated = display_column("updated (UTC)", format_minute, "updated_at")
    health_now = display_column("health", format_health, "health")

    @admin.display(description="live secrets")
    def live_secrets(self, app: OAuthApp) -> SafeString:
        times = app.secrets.order_by("-id").values_list("created_at", flat=True)
        rows = ((MASK, format_minute(time), timesince(time, depth=1)) for time in times)
        return format_html_join("", "<div><code>{}</code> added {} UTC ({} ago)</div>", rows)

    @admin.display(description="events")
    def latest(self, app: OAuthApp) -> SafeString:
        return render_recent_events(app.account_id, app.pk)

    def get_readonly_fields(
        self, request: HttpRequest, obj: OAuthApp | None = None
    ) -> tuple[str, ...]:
        return tuple(self.readonly_fields) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: OAuthApp | None = None) -> _FieldsetSpec:
        if obj is None:
            return [(None, {"fields": _ADDED}), PROOF_FIELDSET]
        writable = self.has_change_permission(request, obj)
        secret = ("live_secrets", *_SECRET) if writable else ("live_secrets",)
        return [
            (None, {"fields": _EDITED}),
            ("Client secret", {"fields": secret}),
            *([PROOF_FIELDSET] if writable else []),
            ("Health", {"fields": ("health_now",), "classes": ("lk-wide",)}),
            ("Facts", {"fields": _FACTS, "classes": ("lk-facts",)}),
            ("Latest events", {"fields": ("latest",), "classes": ("lk-wide",)}),
        ]

    def save_model(
        self, request: HttpRequest, obj: OAuthApp, form: ServiceForm[Any], change: bool
    ) -> None:
        values = {
            name: value
            for name, value in form.cleaned_data.items()
            if value is not None and name not in PROOF_FIELDS
        }
        if change:
            self._update(request, obj, form, values)
        else:
            account = values.pop("account")
            fields = OAuthAppCreateSerializer(data=values).validate_data()
            obj.pk = oauth_app_create(
                account_id=account.pk, actor=get_staff_actor(request), **fields
            )
        obj.refresh_from_db(fields=["name"])

    def _update(
        self, request: HttpRequest, obj: OAuthApp, form: ServiceForm[Any], values: dict[str, Any]
    ) -> None:
        del values["revision"]
        if not values["client_secret"]:  # Left blank: the secret stays.
            del values["client_secret"]
        fields = OAuthAppUpdateSerializer(data=values).validate_data()
        oauth_app_update(
            account_id=obj.account_id,
            id=obj.pk,
            actor=get_staff_actor(request),
            changes=cast(OAuthAppChanges, fields),
            if_match=read_form_etags(form),
        )

    def delete_model(self, request: HttpRequest, obj: OAuthApp) -> None:
        oauth_app_delete(account_id=obj.account_id, id=obj.pk, actor=get_staff_actor(request))
