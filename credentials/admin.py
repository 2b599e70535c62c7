"""Credentials as staff see them: no page opens a seal or reads a sealed column."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from common.admin import HealthFilter, ServiceAdmin, actor, seen_revision
from common.admin_display import badge, health_report, moment, pretty
from credentials.admin_forms import CredentialAddForm, CredentialForm
from credentials.models import Credential
from credentials.serializers import CredentialUpdateSerializer
from credentials.services import Changes, credential_delete, credential_import, credential_update
from events.admin import recent_events
from oauth_apps.admin import ProviderFilter
from providers.registry import registry

_ADDED = (
    "account", "properties", "oauth_app", "external_id", "name", "owner_email", "metadata",
)  # fmt: skip
_EDITED = ("name", "owner_email", "metadata")
_FACTS = (
    ("id", "external_id"),
    ("account", "oauth_app"),
    ("provider", "kind"),
    ("obtained_at", "expires_at"),
    ("created_at", "updated_at"),
    "last_used",
)


class KindFilter(admin.SimpleListFilter):
    """Offers the kinds of the provider that is filtered by, or of all."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = registry().provider(request.GET.get("provider", ""))
        providers = [chosen] if chosen else registry().providers.values()
        return sorted((name, name) for provider in providers for name in provider.kinds)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> QuerySet[Credential]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Credential)
class CredentialAdmin(ServiceAdmin[Credential]):
    form = CredentialForm
    add_form = CredentialAddForm
    list_display = (
        "title", "provider", "kind", "status", "account", "oauth_app", "expires", "created",
    )  # fmt: skip
    list_filter = ("account", HealthFilter, ProviderFilter, KindFilter)
    list_select_related = ("account", "oauth_app")
    raw_id_fields = ("oauth_app",)
    readonly_fields = (*flatten(_FACTS), "masked", "health_now", "latest")
    search_fields = ("name", "owner_email")
    search_help_text = "Name, owner's e-mail address or id."

    @admin.display(description="name")
    def title(self, credential: Credential) -> str:
        return str(credential)

    @admin.display(description="health")
    def status(self, credential: Credential) -> SafeString:
        return badge(credential.health_status)

    @admin.display(description="expires (UTC)")
    def expires(self, credential: Credential) -> str:
        return moment(credential.expires_at)

    @admin.display(description="created (UTC)")
    def created(self, credential: Credential) -> str:
        return moment(credential.created_at)

    @admin.display(description="last used")
    def last_used(self, credential: Credential) -> str:
        try:
            return moment(credential.use.last_used_at)
        except ObjectDoesNotExist:
            return "-"

    @admin.display(description="properties")
    def masked(self, credential: Credential) -> SafeString:
        return pretty(credential.properties)

    @admin.display(description="health")
    def health_now(self, credential: Credential) -> SafeString:
        return health_report(credential.health)

    @admin.display(description="events")
    def latest(self, credential: Credential) -> SafeString:
        return recent_events(credential.account_id, credential.pk)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        return super().get_queryset(request).defer("secrets", "fingerprints", "identity")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Credential | None = None
    ) -> tuple[str, ...]:
        return tuple(self.readonly_fields) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": _ADDED})]
        writable = self.has_change_permission(request, obj)
        return [
            (None, {"fields": (*_EDITED, "revision") if writable else _EDITED}),
            ("Properties", {"fields": ("masked",), "classes": ("lk-wide",)}),
            ("Health", {"fields": ("health_now",), "classes": ("lk-wide",)}),
            ("Facts", {"fields": _FACTS, "classes": ("lk-facts",)}),
            ("Latest events", {"fields": ("latest",), "classes": ("lk-wide",)}),
        ]

    def save_model(self, request: Any, obj: Credential, form: Any, change: bool) -> None:
        if change:
            values = {name: form.cleaned_data[name] for name in _EDITED}
            self._update(request, obj, form, values)
        else:
            account = form.cleaned_data["account"]
            outcome = credential_import(
                account_id=account.pk, actor=actor(request), body=form.body()
            )
            obj.pk, request.outcome = outcome.id, outcome.result
        obj.refresh_from_db(fields=["name", "properties"])

    def _update(
        self, request: HttpRequest, obj: Credential, form: Any, values: dict[str, Any]
    ) -> None:
        if not values["name"]:
            del values["name"]
        sent = CredentialUpdateSerializer(data=values).checked()
        sent.setdefault("name", "")
        credential_update(
            account_id=obj.account_id,
            id=obj.pk,
            actor=actor(request),
            changes=cast(Changes, sent),
            if_match=seen_revision(form),
        )

    def response_add(
        self, request: Any, obj: Credential, post_url_continue: str | None = None
    ) -> HttpResponse:
        if request.outcome != "created":
            text = f"This upstream account was there already: its credential is {request.outcome}."
            self.message_user(request, text, messages.WARNING)
            return self.response_post_save_add(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        credential_delete(account_id=obj.account_id, id=obj.pk, actor=actor(request))
