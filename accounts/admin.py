"""Accounts, API tokens and sessions. The string of a token is displayed on one page, once."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

import accounts.otp_admin
import accounts.staff_admin  # noqa: F401
from accounts.admin_forms import AccountForm, ApiTokenForm
from accounts.models import Account, ApiToken, Session
from accounts.reauthentication_form import PROOF_FIELDS, ReauthenticationAdminMixin
from accounts.services import account_create, session_close, token_create, token_revoke
from common.admin.filters import AccountFilter
from common.admin.formatting import display_column, format_minute
from common.admin.forms import ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor
from common.db.ids import parse_uuid
from common.http import get_admin_request
from events.admin import EventHistoryMixin, register_actor_namer

MAX_REVOKED_TOKENS: Final = 500


def find_token_names(ids: set[str]) -> dict[str, str]:
    """Return the names of the API tokens by id."""
    tokens = ApiToken.objects.filter(pk__in=[uuid for id in ids if (uuid := parse_uuid(id))])
    return {str(pk): name for pk, name in tokens.values_list("pk", "name")}


register_actor_namer("token", find_token_names)


@admin.register(Account)
class AccountAdmin(EventHistoryMixin, ServiceAdmin[Account]):
    add_form = AccountForm
    list_display = ("name", "slug", "id", "created")
    ordering = ("name",)
    search_fields = ("name", "slug")
    search_help_text = "Name, slug or id."

    created = display_column("created (UTC)", format_minute, "created_at")

    def get_fields(self, request: HttpRequest, obj: Account | None = None) -> tuple[str, ...]:
        return ("name", "slug", "id", "created") if obj else ("name",)

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: Account, form: ServiceForm[Any], change: bool
    ) -> None:
        account = account_create(name=form.cleaned_data["name"], actor=get_staff_actor(request))
        obj.pk, obj.name = account.pk, account.name


@admin.register(ApiToken)
class ApiTokenAdmin(ReauthenticationAdminMixin, EventHistoryMixin, ServiceAdmin[ApiToken]):
    add_form = ApiTokenForm
    actions = ("revoke",)
    list_display = ("name", "prefix", "account", "may", "expires", "last_used", "revoked")
    list_filter = (AccountFilter,)
    list_select_related = ("account",)
    search_fields = ("name", "prefix")
    search_help_text = "Name, id, or the first characters of the token."

    @admin.display(description="scopes")
    def may(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    created = display_column("created (UTC)", format_minute, "created_at")
    expires = display_column("expires (UTC)", format_minute, "expires_at")
    last_used = display_column("last used", format_minute, "last_used_at")
    revoked = display_column("revoked", format_minute, "revoked_at")

    @admin.action(permissions=["revoke"], description="Revoke selected API tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        selected = self.limit_selection(request, queryset, MAX_REVOKED_TOKENS)
        live = [token for token in selected if token.revoked_at is None]
        for token in live:
            token_revoke(token=token, actor=get_staff_actor(request))
        if selected:
            self.message_user(request, f"API tokens revoked: {len(live)}.", messages.SUCCESS)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apitoken")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return super().get_queryset(request).defer("digest")

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("account", "name", "scopes", "expires_at", *PROOF_FIELDS)
        return (
            "name", "prefix", "account", "may", "created_by", "created", "expires", "last_used",
            "revoked", "id",
        )  # fmt: skip

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: ApiToken, form: ServiceForm[Any], change: bool
    ) -> None:
        values = form.cleaned_data
        token, get_admin_request(request).new_secret = token_create(
            account_id=values["account"].pk,
            name=values["name"],
            scopes=values["scopes"],
            expires_at=values["expires_at"],
            actor=get_staff_actor(request),
        )
        obj.pk, obj.name, obj.prefix = token.pk, token.name, token.prefix

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Render a page with the token's string."""
        # Not as a message: messages are stored in a cookie or in the session's row.
        context = {
            **self.admin_site.each_context(request),
            "title": "API token created",
            "opts": self.opts,
            "token": obj,
            "held": get_admin_request(request).new_secret,
        }
        return TemplateResponse(request, "admin/accounts/apitoken/created.html", context)


@admin.register(Session)
class SessionAdmin(EventHistoryMixin, ServiceAdmin[Session]):
    fields = ("user", "account", "prefix", "opened", "last_used", "expires", "id")
    list_display = ("prefix", "user", "account", "opened", "last_used", "expires")
    list_filter = (AccountFilter,)
    list_select_related = ("account", "user")
    search_fields = ("user__username",)
    search_help_text = "User name or id."

    opened = display_column("opened (UTC)", format_minute, "created_at")
    last_used = display_column("last used", format_minute, "last_used_at")
    expires = display_column("expires", format_minute, "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        return super().get_queryset(request).defer("digest")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Session | None = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        session_close(session_id=obj.pk, account_id=obj.account_id, actor=get_staff_actor(request))
