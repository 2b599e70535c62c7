"""Admin of connect links, which staff can create, and of attempts, with the reason of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.filters import AccountFilter, MenuFilter
from common.admin.formatting import display_column, format_json, format_minute
from common.admin.forms import ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor
from common.http import get_admin_request
from credentials.connect.admin_forms import ConnectLinkForm
from credentials.connect.audit import represent_failure
from credentials.connect.link_request import LinkRequest
from credentials.connect.links import link_create, link_withdraw
from credentials.connect.models import AuthorizationAttempt, ConnectLink
from credentials.connect.serializers import ConnectLinkCreateSerializer
from events.admin import EventHistoryMixin, render_recent_events

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

_CREATE_FIELDS = (
    "account", "oauth_app", "kind", "name", "owner_email", "external_id", "return_to",
    "credential", "hours", "scopes", "properties", "metadata",
)  # fmt: skip
_LINK_FIELDS = (
    "id", "account", "kind", "oauth_app", "status_badge", "failure_text", "notes_text", "name",
    "owner_email", "external_id", "properties_json", "requested_scopes", "return_to", "reconnects",
    "credential_id", "creator", "creation_time", "update_time", "expiry_time",
)  # fmt: skip
_ATTEMPT_FIELDS = (
    "id", "account", "oauth_app", "kind", "flow", "link", "status_badge", "failure_text",
    "requested_scopes", "callback", "return_to", "external_id", "creator", "creation_time", "update_time",
    "expiry_time",
)  # fmt: skip
_COLOURS = {"completed": "ok", "granted": "ok", "failed": "error", "pending": "warn"}


class StatusFilter(MenuFilter):
    title = "status"
    parameter_name = "status"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return list(model_admin.model.Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class FlowFilter(MenuFilter):
    title = "flow"
    parameter_name = "flow"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return list(AuthorizationAttempt.Flow.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(flow=self.value()) if self.value() else queryset


Flow = AuthorizationAttempt | ConnectLink


class FlowDisplayMixin:
    """Columns and fields that links and attempts have in common."""

    @admin.display(description="status")
    def status_badge(self, row: Flow) -> SafeString:
        return format_html(
            '<span class="lk-badge lk-{}">{}</span>',
            _COLOURS.get(row.status, "unknown"),
            row.status,
        )

    @admin.display(description="why it failed")
    def failure_text(self, row: Flow) -> str:
        failure = represent_failure(row.failure)
        return f"{failure['detail']} ({failure['code']})" if failure else "-"

    @admin.display(description="requested scopes")
    def requested_scopes(self, row: Flow) -> str:
        return ", ".join(row.scopes) or "-"

    creator = display_column("created by", str, "created_by")
    creation_time = display_column("created (UTC)", format_minute, "created_at")
    update_time = display_column("updated (UTC)", format_minute, "updated_at")
    expiry_time = display_column("expires (UTC)", format_minute, "expires_at")

    @admin.display(description="events")
    def latest(self, row: Flow) -> SafeString:
        return render_recent_events(row.account_id, row.pk)


@admin.register(ConnectLink)
class ConnectLinkAdmin(FlowDisplayMixin, EventHistoryMixin, ServiceAdmin[ConnectLink]):
    add_form = ConnectLinkForm
    list_display = (
        "title",
        "kind",
        "status_badge",
        "failure_text",
        "account",
        "creation_time",
        "expiry_time",
    )
    list_filter = (AccountFilter, StatusFilter)
    list_select_related = ("account",)
    raw_id_fields = ("oauth_app",)
    search_fields = ("name", "owner_email", "external_id")
    search_help_text = "Name, owner's e-mail address, external id or id."

    @admin.display(description="name")
    def title(self, link: ConnectLink) -> str:
        return str(link)

    @admin.display(description="notes")
    def notes_text(self, link: ConnectLink) -> str:
        return " ".join(link.notes) or "-"

    properties_json = display_column("properties", format_json, "properties")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectLink]:
        return super().get_queryset(request).defer("token_digest", "browser_digest")

    def get_fieldsets(self, request: HttpRequest, obj: ConnectLink | None = None) -> _FieldsetSpec:
        if obj is None:
            return [(None, {"fields": _CREATE_FIELDS})]
        return [
            (None, {"fields": _LINK_FIELDS}),
            ("Latest events", {"fields": ("latest",), "classes": ("lk-wide",)}),
        ]

    def get_readonly_fields(
        self, request: HttpRequest, obj: ConnectLink | None = None
    ) -> tuple[str, ...]:
        return (*_LINK_FIELDS, "latest") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: ConnectLink | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: ConnectLink, form: ServiceForm[Any], change: bool
    ) -> None:
        link_form = cast(ConnectLinkForm, form)
        account, body = link_form.cleaned_data["account"], link_form.build_request_body()
        values = ConnectLinkCreateSerializer(data=body).validate_data()
        obj.pk, get_admin_request(request).new_secret = link_create(
            account_id=account.pk,
            link_request=LinkRequest(**values),
            actor=get_staff_actor(request),
        )
        obj.refresh_from_db(fields=["name", "kind", "status"])

    def response_add(
        self, request: HttpRequest, obj: ConnectLink, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the link's URL once."""
        # A page instead of a message: messages are stored, in a cookie or in the session.
        context = {
            **self.admin_site.each_context(request),
            "title": "Connect link created",
            "opts": self.opts,
            "link": obj,
            "held": get_admin_request(request).new_secret,
        }
        return TemplateResponse(request, "admin/connect/connectlink/created.html", context)

    def delete_model(self, request: HttpRequest, obj: ConnectLink) -> None:
        """Cancel the link and revoke its pending grant. The row stays."""
        link_withdraw(account_id=obj.account_id, id=obj.pk, actor=get_staff_actor(request))


@admin.register(AuthorizationAttempt)
class AuthorizationAttemptAdmin(
    FlowDisplayMixin, EventHistoryMixin, ServiceAdmin[AuthorizationAttempt]
):
    fields = (*_ATTEMPT_FIELDS, "latest")
    readonly_fields = fields
    list_display = (
        "creation_time",
        "kind",
        "flow",
        "status_badge",
        "failure_text",
        "oauth_app",
        "account",
    )
    list_filter = (AccountFilter, FlowFilter, StatusFilter)
    list_select_related = ("account", "oauth_app")
    search_fields = ("external_id",)
    search_help_text = "External id or id."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuthorizationAttempt]:
        unused = ("sealed", "start_digest", "state_digest", "browser_digest", "challenge")
        return super().get_queryset(request).defer(*unused)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: AuthorizationAttempt | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: AuthorizationAttempt | None = None
    ) -> bool:
        return False
