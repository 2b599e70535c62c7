"""The admin of credentials: their list, their pages, and the forms to add and change them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.filters import AccountFilter
from common.admin.formatting import (
    EMPTY_VALUE,
    display_column,
    format_json,
    format_minute,
    format_provider,
    format_relative_time,
)
from common.admin.forms import ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor, read_form_etags
from common.admin.pagination import KeysetChangeList
from credentials.admin.actions import (
    check_now,
    describe_deletion,
    export_selected,
    export_selected_as_workbook,
    put_on_hold,
    refresh_now,
    release_hold,
    run_action,
)
from credentials.admin.bulk import edit_metadata, mark_for_reconnection, move_to_app
from credentials.admin.filters import (
    AppFilter,
    CredentialHealthFilter,
    ExpiryFilter,
    KindFilter,
    LastUsedFilter,
    MetadataFilter,
    RefreshStateFilter,
)
from credentials.admin.formatting import (
    render_health,
    render_health_badge,
    render_health_changes,
    render_last_use,
    render_refresh_state,
)
from credentials.admin.forms import (
    PROPERTY_PREFIX,
    AddRequest,
    CredentialAddForm,
    CredentialForm,
    KindChoiceForm,
)
from credentials.admin.leaked_secret import leaked_secret_page
from credentials.admin.policy import policy_page, render_policy
from credentials.admin.reveal import reveal_page
from credentials.admin.views import build_credential_view, render_page
from credentials.api.serializers import CredentialUpdateSerializer
from credentials.core.search import search_credentials
from credentials.models import Credential
from credentials.services import (
    CredentialChanges,
    credential_delete,
    credential_import,
    credential_rotate,
    credential_update,
    credential_update_properties,
)
from events.admin import EventHistoryMixin, render_recent_events
from oauth_apps.admin import ProviderFilter
from providers.registry import get_registry

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldOpts, _FieldsetSpec

_EDITABLE: Final = ("name", "owner_email", "metadata")
_FACTS: Final = (
    ("id", "external_id"),
    ("account", "app"),
    ("provider_name", "kind"),
    ("created", "updated"),
    ("expires_minute", "obtained"),
    ("last_used", "refresh"),
)


@admin.register(Credential)
class CredentialAdmin(EventHistoryMixin, ServiceAdmin[Credential]):
    form = CredentialForm
    add_form = CredentialAddForm
    actions = (
        "check_now", "refresh_now", "put_on_hold", "release_hold", "mark_for_reconnection",
        "move_to_app", "edit_metadata", "export_selected",
        "export_selected_as_workbook", "delete_selected",
    )  # fmt: skip
    change_list_template = "admin/credentials/credential/change_list.html"
    list_display = (
        "title", "status", "provider_and_kind", "account", "app", "last_used", "expires",
    )  # fmt: skip
    list_filter = (
        CredentialHealthFilter, AccountFilter, ProviderFilter, KindFilter, AppFilter, ExpiryFilter,
        LastUsedFilter, RefreshStateFilter, MetadataFilter,
    )  # fmt: skip
    list_select_related = ("account", "oauth_app__refresh_pause", "use")
    readonly_fields = (
        *flatten(_FACTS), "properties_json", "health_report", "health_history", "recent_events",
        "policy",
    )  # fmt: skip
    search_fields = ("name", "owner_email", "external_id")
    search_help_text = (
        "A part of the name, the owner's address or the external id; a whole id, or the provider's own"
        " id of the account."
    )

    check_now = check_now
    refresh_now = refresh_now
    put_on_hold = put_on_hold
    release_hold = release_hold
    mark_for_reconnection = mark_for_reconnection
    move_to_app = move_to_app
    edit_metadata = edit_metadata
    export_selected = export_selected
    export_selected_as_workbook = export_selected_as_workbook

    title = display_column("name", str)
    status = display_column("health", render_health_badge)
    expires = display_column("expires", format_relative_time, "expires_at")
    expires_minute = display_column("expires (UTC)", format_minute, "expires_at")
    obtained = display_column("obtained (UTC)", format_minute, "obtained_at")
    created = display_column("created (UTC)", format_minute, "created_at")
    updated = display_column("updated (UTC)", format_minute, "updated_at")
    last_used = display_column("last used", render_last_use)
    refresh = display_column("refresh", render_refresh_state)
    properties_json = display_column("properties", format_json, "properties")
    health_report = display_column("health", render_health)
    health_history = display_column("history", render_health_changes)
    policy = display_column("policy", render_policy)

    @admin.display(description="provider")
    def provider_name(self, credential: Credential) -> SafeString:
        provider = get_registry().get_provider(credential.provider)
        # All custom providers share one entry of the registry, which has another slug.
        is_exact = provider is not None and provider.slug == credential.provider
        name = provider.name if provider and is_exact else credential.provider
        return format_provider(credential.provider, name)

    @admin.display(description="provider")
    def provider_and_kind(self, credential: Credential) -> SafeString:
        name = self.provider_name(credential)
        return format_html('{}<span class="lk-sub">{}</span>', name, credential.kind)

    @admin.display(description="OAuth app")
    def app(self, credential: Credential) -> SafeString:
        app = credential.oauth_app
        if app is None:
            return EMPTY_VALUE
        page = reverse("admin:oauth_apps_oauthapp_change", args=[app.pk])
        return format_html('<a href="{}">{}</a>', page, app)

    @admin.display(description="events")
    def recent_events(self, credential: Credential) -> SafeString:
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
        find = self.admin_site.admin_view(partial(leaked_secret_page, model_admin=self))
        pages = (
            ("reveal", reveal_page, "reveal"),
            ("policy", policy_page, "change"),
            ("act", run_action, "use"),
        )
        return [
            path("find-secret/", find, name="credentials_credential_find"),
            *(
                path(
                    f"<path:object_id>/{name}/",
                    build_credential_view(self, page, permission=permission),
                    name=f"credentials_credential_{name}",
                )
                for name, page, permission in pages
            ),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        # No page reads a sealed column or a keyed hash; a reveal fetches the row again.
        return super().get_queryset(request).defer("secrets", "fingerprints", "identity")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Credential], search_term: str
    ) -> tuple[QuerySet[Credential], bool]:
        row = self.filter_by_id(queryset, search_term)
        return (search_credentials(queryset, search_term) if row is None else row), False

    def get_readonly_fields(
        self, request: HttpRequest, obj: Credential | None = None
    ) -> tuple[str, ...]:
        # A credential that is being added has nothing to display yet.
        return tuple(self.readonly_fields) if obj else ()

    def get_form(
        self,
        request: HttpRequest,
        obj: Credential | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm[Credential]]:
        # Django builds the class from the model's fields; the form adds property fields by itself.
        fields = kwargs.get("fields") or ()
        kwargs["fields"] = [n for n in fields if not n.startswith(PROPERTY_PREFIX)] or None
        form = super().get_form(request, obj, change, **kwargs)
        if issubclass(form, CredentialAddForm):
            add_request = cast(AddRequest, request)
            form.kind, form.account = add_request.kind, add_request.account
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Credential | None = None) -> _FieldsetSpec:
        if obj is None:
            return self._build_add_fieldsets(request)
        fields: list[tuple[str | None, _FieldOpts]]
        if not self.has_change_permission(request, obj):
            fields = [
                (None, {"fields": _EDITABLE}),
                ("Properties", _wide("properties_json")),
            ]
        else:
            form = CredentialForm(instance=obj)
            names = form.property_field_names()
            if form.kind and not self.has_rotate_permission(request):
                secrets = {PROPERTY_PREFIX + name for name in form.kind.secret_fields}
                names = [name for name in names if name not in secrets]
            fields = [
                (None, {"fields": (*_EDITABLE, "revision")}),
                ("As the API shows it", _wide("properties_json", "collapse")),
            ]
            if names:
                fields.insert(1, ("Properties", {"fields": tuple(names)}))
        return [
            ("Health", _wide("health_report")),
            ("Facts", {"fields": _FACTS, "classes": ("lk-facts",)}),
            *fields,
            ("Policy for the proxy", _wide("policy")),
            ("Health until now", _wide("health_history")),
            ("Latest events", _wide("recent_events")),
        ]

    def _build_add_fieldsets(self, request: HttpRequest) -> _FieldsetSpec:
        names = ["oauth_app", "name", "owner_email", "external_id"]
        form = cast(CredentialAddForm, self.get_form(request, None, fields=names)())
        # The form removes the field if the kind needs no app and the account has none.
        app = ["oauth_app"] if "oauth_app" in form.fields else []
        return [
            (form.kind.title, {"fields": [*app, *form.property_field_names()]}),
            ("About it", {"fields": ("name", "owner_email", "external_id", "metadata")}),
        ]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Render the choice of account and kind first, then the form of that kind."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        choice = KindChoiceForm(request.GET if "kind" in request.GET else None)
        if not choice.is_valid():
            return render_page(self, request, "choose", "Add a credential", form=choice)
        add_request = cast(AddRequest, request)
        add_request.account = choice.cleaned_data["account"]
        add_request.kind = get_registry().kinds[choice.cleaned_data["kind"]]
        provider = get_registry().providers[add_request.kind.provider].name
        title = f"Add a credential of {provider} to {add_request.account}"
        return super().add_view(request, form_url, {**(extra_context or {}), "title": title})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if row := kwargs.get("obj"):
            # Templates cannot call a method with an argument.
            kind = get_registry().get_kind(row.kind)
            may_use = self.has_use_permission(request)
            context["may_check"] = may_use
            context["may_refresh"] = may_use and kind is not None and kind.refreshes
            context["may_reveal"] = self.has_reveal_permission(request)
            context["may_change"] = self.has_change_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Credential, form: ServiceForm[Any], change: bool
    ) -> None:
        if change:
            self._update(request, obj, cast(CredentialForm, form))
        else:
            add_request = cast(AddRequest, request)
            outcome = credential_import(
                account_id=add_request.account.pk,
                actor=get_staff_actor(request),
                body=cast(CredentialAddForm, form).import_body(),
            )
            obj.pk, add_request.import_result = outcome.id, outcome.result
        # Django puts the object's name into its message and log.
        obj.refresh_from_db(fields=["name", "properties"])

    def _update(self, request: HttpRequest, obj: Credential, form: CredentialForm) -> None:
        """Save the fields, the secrets and the other properties, each by its service.

        All run in the transaction of the page. The first one locks the row and checks the revision
        that the form was rendered from.
        """
        values = {name: form.cleaned_data[name] for name in _EDITABLE}
        # The serializer rejects an empty name.
        if not values["name"]:
            del values["name"]
        changes = CredentialUpdateSerializer(data=values).validate_data()
        changes.setdefault("name", "")
        actor = get_staff_actor(request)
        credential_update(
            account_id=obj.account_id,
            id=obj.pk,
            actor=actor,
            changes=cast(CredentialChanges, changes),
            if_match=read_form_etags(form),
        )
        properties, secrets = form.changed_properties(), form.new_secrets()
        if secrets:
            if not self.has_rotate_permission(request):
                raise PermissionDenied
            # What belongs to a new secret is validated with it: the end of a token, the id of a key.
            belonging = {name: value for name, value in properties.items() if value is not None}
            credential_rotate(
                account_id=obj.account_id,
                id=obj.pk,
                actor=actor,
                properties={**belonging, **secrets},
            )
            properties = {name: value for name, value in properties.items() if value is None}
        if properties:
            credential_update_properties(
                account_id=obj.account_id, id=obj.pk, actor=actor, properties=properties
            )

    def response_add(
        self, request: HttpRequest, obj: Credential, post_url_continue: str | None = None
    ) -> HttpResponse:
        result = cast(AddRequest, request).import_result
        if result != "created":
            text = f"This upstream account already had a credential, which is {result}."
            self.message_user(request, text, messages.WARNING)
            return self.response_post_save_add(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        credential_delete(account_id=obj.account_id, id=obj.pk, actor=get_staff_actor(request))

    def get_deleted_objects(
        self, objs: Sequence[Credential] | QuerySet[Credential], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return each row with what its deletion means at the provider."""
        _, counts, missing, protected = super().get_deleted_objects(objs, request)
        rows: list[str] = [
            format_html("{} ({}): {}", row, row.kind, describe_deletion(row)) for row in objs
        ]
        return rows, counts, missing, protected


def _wide(name: str, *classes: str) -> _FieldOpts:
    return {"fields": (name,), "classes": ("lk-wide", *classes)}
