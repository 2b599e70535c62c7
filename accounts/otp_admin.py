"""The list of second factors, and their removal for users who lost theirs. No page displays a key or code."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.otp_devices import Authenticator, RecoveryCodes
from accounts.second_factor import count_recovery_codes, second_factor_remove
from common.admin.formatting import display_column, format_minute
from common.admin.model_admin import ServiceAdmin, get_staff_actor
from common.errors import ConflictError


class DeviceAdmin(ServiceAdmin[Any]):
    """A device of a second factor. Deleting it removes all devices of its user."""

    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    search_help_text = "User name or e-mail address."

    since = display_column("set up (UTC)", format_minute, "created_at")
    last_used = display_column("last used", format_minute, "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def delete_model(self, request: HttpRequest, obj: Authenticator | RecoveryCodes) -> None:
        if obj.user_id == request.user.pk:
            raise ConflictError(
                "Remove your own on the page “Second factor”, with password and code."
            )
        # Half of a second factor would only look safe.
        second_factor_remove(user=obj.user, actor=get_staff_actor(request))


@admin.register(Authenticator)
class AuthenticatorAdmin(DeviceAdmin):
    fields = ("user", "name", "confirmed", "since", "last_used", "id")
    list_display = ("user", "name", "confirmed", "since", "last_used")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("key")


@admin.register(RecoveryCodes)
class RecoveryCodesAdmin(DeviceAdmin):
    fields = ("user", "name", "remaining", "since", "last_used", "id")
    list_display = ("user", "name", "since", "last_used")

    @admin.display(description="codes left")
    def remaining(self, device: RecoveryCodes) -> str:
        return str(count_recovery_codes(device.user))
