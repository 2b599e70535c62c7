from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.filters import AccountFilter, HealthFilter
from common.admin.formatting import (
    EMPTY_VALUE,
    format_badge,
    format_health,
    format_json,
    format_minute,
    format_provider,
    format_relative_time,
)
from common.admin.model_admin import ServiceAdmin, get_staff_actor, read_form_etags
from common.admin.pagination import KeysetChangeList
from credentials.admin import formatting
from credentials.admin.actions import (
    check_now,
    describe_deletion,
    export_selected,
    refresh_now,
    run_action,
)
from credentials.admin.bulk import edit_metadata, mark_for_reconnection, move_to_app
from credentials.admin.filters import (
    AppFilter,
    ExpiryFilter,
    KindFilter,
    LastUsedFilter,
    MetadataFilter,
)
from credentials.admin.forms import (
    PROPERTY_PREFIX,
    CredentialAddForm,
    CredentialForm,
    KindChoiceForm,
)
from credentials.admin.leaked_secret import leaked_secret_page
from credentials.admin.policy import policy_page, render_policy
from credentials.admin.reveal import reveal_page
from credentials.admin.search import search_credentials
from credentials.api.serializers import CredentialUpdateSerializer
from credentials.models import Credential
from credentials.services.crud import (
    CredentialChanges,
    credential_delete,
    credential_import,
    credential_update,
)
from credentials.services.properties import credential_update_properties
from credentials.services.rotate import credential_rotate
from events.admin import EventHistoryMixin, render_recent_events
from oauth_apps.admin import ProviderFilter
from providers.registry import get_registry

_EDITED: Final = ("name", "owner_email", "metadata")
_FACTS: Final = (
    ("id", "external_id"),
    ("account", "app"),
    ("provider_name", "kind"),
    ("created", "updated"),
    ("expires_exactly", "obtained"),
    ("last_used", "refreshing"),
)


@admin.register(Credential)
class CredentialAdmin(EventHistoryMixin, ServiceAdmin[Credential]):
    form = CredentialForm
    add_form = CredentialAddForm
    actions = (
        "check_now", "refresh_now", "mark_for_reconnection", "move_to_app", "edit_metadata",
        "export_selected", "delete_selected",
    )  # fmt: skip
    change_list_template = "admin/credentials/credential/change_list.html"
    list_display = (
        "title", "status", "of_provider", "account", "app", "last_used", "expires",
    )  # fmt: skip
    list_filter = (
        HealthFilter, AccountFilter, ProviderFilter, KindFilter, AppFilter, ExpiryFilter, LastUsedFilter,
        MetadataFilter,
    )  # fmt: skip
    list_select_related = ("account", "oauth_app", "use")
    readonly_fields = (
        *flatten(_FACTS), "masked", "health_now", "health_before", "latest", "policy",
    )  # fmt: skip
    search_fields = ("name", "owner_email", "external_id")
    search_help_text = (
        "A part of the name, the owner's address or the external id; a whole id, or what the provider"
        " calls the account."
    )

    check_now = check_now
    refresh_now = refresh_now
    mark_for_reconnection = mark_for_reconnection
    move_to_app = move_to_app
    edit_metadata = edit_metadata
    export_selected = export_selected

    @admin.display(description="name")
    def title(self, credential: Credential) -> str:
        return str(credential)

    @admin.display(description="provider")
    def of_provider(self, credential: Credential) -> SafeString:
        name = self.provider_name(credential)
        return format_html('{}<span class="lk-sub">{}</span>', name, credential.kind)

    @admin.display(description="provider")
    def provider_name(self, credential: Credential) -> SafeString:
        found = get_registry().get_provider(credential.provider)
        known = found is not None and found.slug == credential.provider
        return format_provider(
            credential.provider, found.name if found and known else credential.provider
        )

    @admin.display(description="health")
    def status(self, credential: Credential) -> SafeString:
        return format_badge(credential.health_status)

    @admin.display(description="OAuth app")
    def app(self, credential: Credential) -> SafeString:
        found = credential.oauth_app
        if found is None:
            return EMPTY_VALUE
        page = reverse("admin:oauth_apps_oauthapp_change", args=[found.pk])
        return format_html('<a href="{}">{}</a>', page, found)

    @admin.display(description="expires")
    def expires(self, credential: Credential) -> SafeString:
        return format_relative_time(credential.expires_at)

    @admin.display(description="last used")
    def last_used(self, credential: Credential) -> SafeString:
        try:
            return format_relative_time(credential.use.last_used_at)
        except ObjectDoesNotExist:
            return SafeString('<span class="lk-none">never</span>')

    @admin.display(description="expires (UTC)")
    def expires_exactly(self, credential: Credential) -> SafeString:
        return format_minute(credential.expires_at)

    @admin.display(description="obtained (UTC)")
    def obtained(self, credential: Credential) -> SafeString:
        return format_minute(credential.obtained_at)

    @admin.display(description="created (UTC)")
    def created(self, credential: Credential) -> SafeString:
        return format_minute(credential.created_at)

    @admin.display(description="updated (UTC)")
    def updated(self, credential: Credential) -> SafeString:
        return format_minute(credential.updated_at)

    @admin.display(description="refresh")
    def refreshing(self, credential: Credential) -> SafeString:
        return formatting.render_refresh_state(credential)

    @admin.display(description="properties")
    def masked(self, credential: Credential) -> SafeString:
        return format_json(credential.properties)

    @admin.display(description="health")
    def health_now(self, credential: Credential) -> SafeString:
        return format_health(credential.health)

    @admin.display(description="history")
    def health_before(self, credential: Credential) -> SafeString:
        return formatting.render_health_changes(credential)

    @admin.display(description="policy")
    def policy(self, credential: Credential) -> SafeString:
        return render_policy(credential)

    @admin.display(description="events")
    def latest(self, credential: Credential) -> SafeString:
        return render_recent_events(credential.account_id, credential.pk)

    def has_use_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credentials.use_credential")

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credentials.rotate_credential")

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credentials.export_credential")

    def has_reveal_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credentials.reveal_credential")

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.reveal_view)
        return [
            path(
                "find-secret/",
                self.admin_site.admin_view(self.leak_view),
                name="credentials_credential_find",
            ),
            path("<path:object_id>/reveal/", page, name="credentials_credential_reveal"),
            path(
                "<path:object_id>/policy/",
                self.admin_site.admin_view(self.policy_view),
                name="credentials_credential_policy",
            ),
            path(
                "<path:object_id>/act/",
                self.admin_site.admin_view(self.act_view),
                name="credentials_credential_act",
            ),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        hidden = ("secrets", "previous", "fingerprints", "identity")
        return super().get_queryset(request).defer(*hidden)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Credential], search_term: str
    ) -> tuple[QuerySet[Credential], bool]:
        found = self.filter_by_id(queryset, search_term)
        return (search_credentials(queryset, search_term) if found is None else found), False

    def get_readonly_fields(
        self, request: HttpRequest, obj: Credential | None = None
    ) -> tuple[str, ...]:
        return tuple(self.readonly_fields) if obj else ()

    def get_form(
        self, request: Any, obj: Credential | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["fields"] = [
            n for n in kwargs.get("fields") or () if not n.startswith(PROPERTY_PREFIX)
        ] or None
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            form.kind, form.account = request.chosen["kind"], request.chosen["account"]
        return form

    def get_fieldsets(self, request: Any, obj: Credential | None = None) -> Any:
        if obj is None:
            return self._add_fieldsets(request)
        if not self.has_change_permission(request, obj):
            first = [(None, {"fields": _EDITED}), ("Properties", _wide("masked"))]
        else:
            boxes = self._boxes(request, obj)
            first = [
                (None, {"fields": (*_EDITED, "revision")}),
                *([("Properties", {"fields": boxes})] if boxes else []),
                ("As the API shows it", _wide("masked", "collapse")),
            ]
        return [
            ("Health", _wide("health_now")),
            ("Facts", {"fields": _FACTS, "classes": ("lk-facts",)}),
            *first,
            ("Policy for the proxy", _wide("policy")),
            ("Health until now", _wide("health_before")),
            ("Latest events", _wide("latest")),
        ]

    def _boxes(self, request: HttpRequest, obj: Credential) -> list[str]:
        form = CredentialForm(instance=obj)
        if self.has_rotate_permission(request) or form.kind is None:
            return form.property_field_names()
        secret = {PROPERTY_PREFIX + name for name in form.kind.secret_fields}
        return [name for name in form.property_field_names() if name not in secret]

    def _add_fieldsets(self, request: Any) -> Any:
        form = self.get_form(
            request, None, fields=["oauth_app", "name", "owner_email", "external_id"]
        )
        made = form()
        app = ["oauth_app"] if "oauth_app" in made.fields else []
        rest = ("name", "owner_email", "external_id", "metadata")
        title = request.chosen["kind"].title
        return [
            (title, {"fields": [*app, *made.property_field_names()]}),
            ("About it", {"fields": rest}),
        ]

    def add_view(
        self, request: Any, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        if not self.has_add_permission(request):
            raise PermissionDenied
        choice = KindChoiceForm(request.GET if "kind" in request.GET else None)
        if not choice.is_valid():
            return self._choose(request, choice)
        kind = get_registry().kinds[choice.cleaned_data["kind"]]
        request.chosen = {"account": choice.cleaned_data["account"], "kind": kind}
        provider = get_registry().providers[kind.provider].name
        title = f"Add a credential of {provider} to {request.chosen['account']}"
        return super().add_view(request, form_url, {**(extra_context or {}), "title": title})

    def _choose(self, request: HttpRequest, choice: KindChoiceForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Add a credential",
            "opts": self.opts,
            "form": choice,
        }
        return TemplateResponse(request, "admin/credentials/credential/choose.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if row := kwargs.get("obj"):
            kind = get_registry().get_kind(row.kind)
            may_use = self.has_use_permission(request)
            context["may_check"] = may_use
            context["may_refresh"] = may_use and kind is not None and kind.refreshes
            context["may_reveal"] = self.has_reveal_permission(request)
            context["may_change"] = self.has_change_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def leak_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_reveal_permission(request):
            raise PermissionDenied
        return leaked_secret_page(request, self.admin_site.each_context(request))

    def reveal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._of_one(request, object_id, self.has_reveal_permission(request), reveal_page)

    def policy_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._of_one(request, object_id, self.has_change_permission(request), policy_page)

    def act_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """An action of the list, on the credential that is looked at."""

        def act(request: HttpRequest, found: Credential, _: Any) -> HttpResponse:
            return run_action(self, request, found)

        return self._of_one(request, object_id, self.has_use_permission(request), act)

    def _of_one(
        self,
        request: HttpRequest,
        object_id: str,
        allowed: bool,
        page: Callable[[HttpRequest, Credential, dict[str, Any]], HttpResponse],
    ) -> HttpResponse:
        if not allowed:
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        return page(request, found, self.admin_site.each_context(request))

    def save_model(self, request: Any, obj: Credential, form: Any, change: bool) -> None:
        if change:
            self._update(request, obj, form)
        else:
            account = request.chosen["account"]
            outcome = credential_import(
                account_id=account.pk, actor=get_staff_actor(request), body=form.import_body()
            )
            obj.pk, request.outcome = outcome.id, outcome.result
        obj.refresh_from_db(fields=["name", "properties"])

    def _update(self, request: HttpRequest, obj: Credential, form: CredentialForm) -> None:
        """In the one transaction of the page; the first of them holds the row's lock for the others."""
        values = {name: form.cleaned_data[name] for name in _EDITED}
        if not values["name"]:
            del values["name"]
        sent = CredentialUpdateSerializer(data=values).validate_data()
        sent.setdefault("name", "")
        which: Any = {"account_id": obj.account_id, "id": obj.pk, "actor": get_staff_actor(request)}
        credential_update(
            **which, changes=cast(CredentialChanges, sent), if_match=read_form_etags(form)
        )
        others, secrets = form.changed_properties(), form.new_secrets()
        if secrets:
            if not self.has_rotate_permission(request):
                raise PermissionDenied
            # A new token's end, or a new key's id, comes with it.
            with_them = {name: value for name, value in others.items() if value is not None}
            credential_rotate(**which, properties={**with_them, **secrets})
            others = {name: value for name, value in others.items() if value is None}
        if others:
            credential_update_properties(**which, properties=others)

    def response_add(
        self, request: Any, obj: Credential, post_url_continue: str | None = None
    ) -> HttpResponse:
        if request.outcome != "created":
            text = f"This upstream account was there already: its credential is {request.outcome}."
            self.message_user(request, text, messages.WARNING)
            return self.response_post_save_add(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        credential_delete(account_id=obj.account_id, id=obj.pk, actor=get_staff_actor(request))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Each row with what the worker will tell its provider once it is gone."""
        _, counts, missing, protected = super().get_deleted_objects(objs, request)
        rows = [format_html("{} ({}): {}", row, row.kind, describe_deletion(row)) for row in objs]
        return rows, counts, missing, protected


def _wide(name: str, *classes: str) -> dict[str, Any]:
    return {"fields": (name,), "classes": ("lk-wide", *classes)}
