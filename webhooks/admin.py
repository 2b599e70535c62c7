"""Admin pages of webhook endpoints and their deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.admin.filters import AccountFilter
from common.admin.formatting import display_column, format_json, format_minute
from common.admin.forms import ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor, parse_id, read_form_etags
from common.errors import ServiceError
from common.http import get_admin_request
from events.admin import EventHistoryMixin, render_recent_events
from webhooks import services
from webhooks.admin_forms import EndpointAddForm, EndpointForm
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from webhooks.payload import build_payload
from webhooks.serializers import EndpointCreateSerializer, EndpointUpdateSerializer

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

_EDITED = ("url", "events", "enabled")
_STATE = (("disabled", "disabled_reason"), ("failing", "failures"), "old_secret")
_FACTS = (("id", "account"), ("created", "updated"))
# One page of the list: each replay locks its endpoint, and each rejected one adds a message.
MAX_BULK_REPLAY: Final = 50

_COLOURS = {"pending": "unknown", "delivered": "ok", "failed": "error"}


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(EventHistoryMixin, ServiceAdmin[WebhookEndpoint]):
    form = EndpointForm
    add_form = EndpointAddForm
    actions = ("rotate_secret", "delete_selected")
    list_display = ("url", "types", "status", "account", "created")
    list_filter = (AccountFilter,)
    list_select_related = ("account",)
    readonly_fields = (*flatten(_STATE), *flatten(_FACTS), "latest")
    search_fields = ("url",)
    search_help_text = "URL or id."

    @admin.display(description="events")
    def types(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.events)

    @admin.display(description="state")
    def status(self, endpoint: WebhookEndpoint) -> SafeString:
        if not endpoint.enabled:
            return _badge("error", "disabled")
        return _badge("warn", "failing") if endpoint.failing_since else _badge("ok", "enabled")

    created = display_column("created (UTC)", format_minute, "created_at")
    updated = display_column("updated (UTC)", format_minute, "updated_at")
    disabled = display_column("disabled (UTC)", format_minute, "disabled_at")
    failing = display_column("failing since (UTC)", format_minute, "failing_since")
    old_secret = display_column("old secret until (UTC)", format_minute, "old_secret_until")

    @admin.display(description="events")
    def latest(self, endpoint: WebhookEndpoint) -> SafeString:
        return render_recent_events(endpoint.account_id, endpoint.pk)

    @admin.action(permissions=["change"], description="Rotate the secret of the selected endpoint")
    def rotate_secret(
        self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]
    ) -> HttpResponse | None:
        selected = list(queryset[:2])
        if len(selected) != 1:
            text = "Select one endpoint: the next page shows its new secret."
            self.message_user(request, text, messages.ERROR)
            return None
        secret = services.secret_rotate(
            account_id=selected[0].account_id, id=selected[0].pk, actor=get_staff_actor(request)
        )
        return self._render_secret(request, selected[0], secret)

    def get_readonly_fields(
        self, request: HttpRequest, obj: WebhookEndpoint | None = None
    ) -> tuple[str, ...]:
        return tuple(self.readonly_fields) if obj else ()

    def get_fieldsets(
        self, request: HttpRequest, obj: WebhookEndpoint | None = None
    ) -> _FieldsetSpec:
        if obj is None:
            return [(None, {"fields": ("account", "url", "events")})]
        writable = self.has_change_permission(request, obj)
        return [
            (None, {"fields": (*_EDITED, "revision") if writable else _EDITED}),
            ("State", {"fields": _STATE, "classes": ("lk-facts",)}),
            ("Facts", {"fields": _FACTS, "classes": ("lk-facts",)}),
            ("Latest events", {"fields": ("latest",), "classes": ("lk-wide",)}),
        ]

    def save_model(
        self, request: HttpRequest, obj: WebhookEndpoint, form: ServiceForm[Any], change: bool
    ) -> None:
        values = form.cleaned_data
        if change:
            fields = EndpointUpdateSerializer(data={n: values[n] for n in _EDITED}).validate_data()
            services.endpoint_update(
                account_id=obj.account_id,
                id=obj.pk,
                actor=get_staff_actor(request),
                changes=cast(services.EndpointChanges, fields),
                if_match=read_form_etags(form),
            )
        else:
            fields = EndpointCreateSerializer(
                data={"url": values["url"], "events": values["events"]}
            ).validate_data()
            obj.pk, get_admin_request(request).new_secret = services.endpoint_create(
                account_id=values["account"].pk, actor=get_staff_actor(request), **fields
            )
        obj.refresh_from_db(fields=["url"])

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._render_secret(request, obj, get_admin_request(request).new_secret)

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        services.endpoint_delete(
            account_id=obj.account_id, id=obj.pk, actor=get_staff_actor(request)
        )

    def _render_secret(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str
    ) -> HttpResponse:
        # A page and no message: Django keeps messages in a cookie or in the session's row.
        context = {
            **self.admin_site.each_context(request),
            "title": "Signing secret",
            "opts": self.opts,
            "endpoint": endpoint,
            "held": secret,
        }
        page = "admin/webhooks/webhookendpoint/secret.html"
        return TemplateResponse(request, page, context, headers={"Cache-Control": "no-store"})


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in DeliveryState]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]
    ) -> QuerySet[WebhookDelivery]:
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(EventHistoryMixin, ServiceAdmin[WebhookDelivery]):
    actions = ("replay",)
    fields = (
        "id", "account", "endpoint", "message_id", "payload", "status", "attempts", "next_try",
        "last_status", "last_error", "created", "delivered",
    )  # fmt: skip
    list_display = ("type", "target_id", "status", "attempts", "last_error", "endpoint", "created")
    list_filter = (AccountFilter, StateFilter)
    list_select_related = ("endpoint",)
    search_fields = ("type",)
    search_help_text = "The id of a delivery or of an object, or an event type."

    @admin.display(description="state")
    def status(self, delivery: WebhookDelivery) -> SafeString:
        return _badge(_COLOURS[delivery.state], delivery.state)

    created = display_column("created (UTC)", format_minute, "created_at")
    next_try = display_column("next try (UTC)", format_minute, "next_at")
    delivered = display_column("delivered (UTC)", format_minute, "delivered_at")

    @admin.display(description="payload")
    def payload(self, delivery: WebhookDelivery) -> SafeString:
        return format_json(build_payload(delivery))

    @admin.action(permissions=["replay"], description="Send the selected deliveries again")
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        selected = self.limit_selection(request, queryset, MAX_BULK_REPLAY)
        count = 0
        for delivery in selected:
            try:
                services.delivery_replay(
                    account_id=delivery.account_id,
                    endpoint_id=delivery.endpoint_id,
                    id=delivery.pk,
                    actor=get_staff_actor(request),
                )
                count += 1
            except ServiceError as problem:
                self.message_user(request, f"{delivery}: {problem.detail}", messages.ERROR)
        if count:
            text = f"Deliveries that will be sent again: {count}."
            self.message_user(request, text, messages.SUCCESS)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        if id := parse_id(search_term):
            matches = Q(pk=id) | Q(target_id=id) | Q(message_id=id)
            return queryset.filter(matches), False
        return super().get_search_results(request, queryset, search_term)

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_webhookdelivery")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: WebhookDelivery | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: WebhookDelivery | None = None
    ) -> bool:
        return False


def _badge(colour: str, text: str) -> SafeString:
    return format_html('<span class="lk-badge lk-{}">{}</span>', colour, text)
