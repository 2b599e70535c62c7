"""The staff pages of custom services."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from accounts.reauthentication_form import (
    PROOF_FIELDS,
    ReauthenticationAdminMixin,
    ReauthenticationForm,
)
from common.admin.filters import AccountFilter
from common.admin.formatting import display_column, format_minute
from common.admin.forms import LinesField, ServiceForm
from common.admin.model_admin import ServiceAdmin, get_staff_actor
from credentials.services.custom_providers import custom_provider_create, custom_provider_update
from events.admin import EventHistoryMixin
from providers.models import CustomProvider

_DESTINATION: Final = {"base_url", "auth_header", "prefix"}
"""The fields that decide where and how a key is sent."""

_CHANGEABLE: Final = ("base_url", "auth_header", "prefix", "blocked_endpoints", "rate_limit")


class CustomProviderForm(ReauthenticationForm, ServiceForm[CustomProvider]):
    # By default Django strips the input, but the space at the end of `Bearer ` is part of it.
    prefix = forms.CharField(  # type: ignore[assignment] # a field; Django's forms have a prefix too
        max_length=32, strip=False, required=False, initial="Bearer "
    )
    blocked_endpoints = LinesField(
        label="Blocked endpoints", help_text="One on each line: METHOD /path, such as DELETE /v1/*."
    )

    class Meta:
        model = CustomProvider
        fields = ("account", "name", *_CHANGEABLE)

    def needs_proof(self) -> bool:
        """Return True if the keys of an existing service would be sent elsewhere."""
        return not self.instance._state.adding and bool(
            _DESTINATION.intersection(self.changed_data)
        )


@admin.register(CustomProvider)
class CustomProviderAdmin(
    ReauthenticationAdminMixin, EventHistoryMixin, ServiceAdmin[CustomProvider]
):
    form = CustomProviderForm
    list_display = ("slug", "account", "base_url", "rate_limit", "updated")
    list_filter = (AccountFilter,)
    list_select_related = ("account",)
    search_fields = ("name", "base_url")

    updated = display_column("updated (UTC)", format_minute, "updated_at")

    def has_delete_permission(
        self, request: HttpRequest, obj: CustomProvider | None = None
    ) -> bool:
        """Return False: the credentials of a deleted service could not be used."""
        return False

    def get_readonly_fields(
        self, request: HttpRequest, obj: CustomProvider | None = None
    ) -> tuple[str, ...]:
        return ("account", "name") if obj else ()

    def get_fields(
        self, request: HttpRequest, obj: CustomProvider | None = None
    ) -> tuple[str, ...]:
        fields = ("account", "name", *_CHANGEABLE)
        # A new service has no keys yet, and a viewer cannot change one.
        is_guarded = obj is not None and self.has_change_permission(request, obj)
        return (*fields, *PROOF_FIELDS) if is_guarded else fields

    def save_model(
        self, request: HttpRequest, obj: CustomProvider, form: ServiceForm[Any], change: bool
    ) -> None:
        values = {name: form.cleaned_data[name] for name in _CHANGEABLE}
        actor = get_staff_actor(request)
        if change:
            custom_provider_update(account_id=obj.account_id, actor=actor, name=obj.name, **values)
        else:
            account, name = form.cleaned_data["account"], form.cleaned_data["name"]
            created = custom_provider_create(
                account_id=account.pk, actor=actor, name=name, **values
            )
            obj.pk = created.pk
        obj.refresh_from_db()
