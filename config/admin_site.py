"""The admin's door: a password, and the one-time code of whoever has set up a device."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from django_otp import match_token, user_has_device

from accounts.second_factor import explain_rejected_code
from common.admin.forms import CodeInput


class LoginForm(AdminAuthenticationForm):
    """The code is asked for beside the password, so that a wrong one does not tell which was wrong."""

    otp = forms.CharField(
        label="One-time code",
        required=False,
        max_length=32,
        widget=CodeInput(inputmode="numeric"),
        help_text="If you have set up a device.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        user: Any = self.get_user()
        if user is not None and user_has_device(user):
            device = match_token(user, cleaned.get("otp") or "")
            if device is None:
                # A guessed code counts like a guessed password.
                credentials = {"username": user.username}
                user_login_failed.send(
                    sender=__name__, credentials=credentials, request=self.request
                )
                said = explain_rejected_code(user, "The one-time code is missing or wrong.")
                raise ValidationError(said, code="otp")
            user.otp_device = device  # django-otp remembers it for the session.
        return cleaned


class StaffSite(admin.AdminSite):
    """Lets in staff who have shown their second factor, where they have one."""

    login_form = LoginForm
    index_title = "Dashboard"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from accounts import second_factor_page
        from credentials.imports import admin_views

        # No object has an address outside the admin, and Django's page fails on an id that is no UUID.
        own = super().get_urls()
        own = [found for found in own if getattr(found, "name", "") != "view_on_site"]
        return [*second_factor_page.get_second_factor_urls(self), *admin_views.import_urls(), *own]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Its models are there only once the site is.
        from config.dashboard.context import build_context

        return super().index(request, {**build_context(request), **(extra_context or {})})

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return super().has_permission(request) and (user.is_verified() or not user_has_device(user))
