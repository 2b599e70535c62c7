"""The admin site: login with a password and, for users who have a device, a one-time code."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django_otp import user_has_device

from accounts.login import LOGIN_ERROR, reauthenticate, verify_code
from accounts.second_factor import explain_rejected_code
from common.admin.forms import build_code_field
from common.errors import UnauthenticatedError


class LoginForm(AdminAuthenticationForm):
    """The password and the one-time code in one form.

    An error then does not reveal which of the two was wrong.
    """

    error_messages = {**AdminAuthenticationForm.error_messages, "invalid_login": LOGIN_ERROR}
    otp = build_code_field()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        user: Any = self.get_user()
        if user is not None and user_has_device(user):
            device = verify_code(self.request, user, cleaned.get("otp"))
            if device is None:
                raise ValidationError(explain_rejected_code(user, LOGIN_ERROR), code="otp")
            # django-otp stores it in the session.
            user.otp_device = device
        return cleaned


class PasswordForm(AdminPasswordChangeForm):
    """A password change by a user who is logged in, with the old password and a one-time code.

    A wrong one counts as at the login.
    """

    request: HttpRequest
    otp = build_code_field()
    field_order = ("old_password", "otp", "new_password1", "new_password2")

    def clean_old_password(self) -> str:
        # Checked with the code, when the other fields are valid.
        return str(self.cleaned_data["old_password"])

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            values = self.cleaned_data
            try:
                reauthenticate(self.request, password=values["old_password"], otp=values["otp"])
            except UnauthenticatedError as error:
                self.add_error("old_password", error.detail)
        return self.cleaned_data


class StaffSite(admin.AdminSite):
    """An admin site for staff who have entered their second factor, if they have one."""

    login_form = LoginForm
    index_title = "Dashboard"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from accounts import second_factor_page
        from credentials.imports import admin_views

        # Django's `view_on_site` page fails on an id that is not a UUID, and no object has a page
        # outside the admin.
        urls = [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]
        return [
            *second_factor_page.get_second_factor_urls(self),
            *admin_views.import_urls(),
            *urls,
        ]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Imported late: the models are not loaded when the site is created.
        from config.dashboard.context import build_context

        return super().index(request, {**build_context(request), **(extra_context or {})})

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        from config.banners import build_banners

        context = super().each_context(request)
        if context["has_permission"]:
            context["banners"] = build_banners(request)
        return context

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Django's view creates the form without the request, which the count of failures needs.
        form = type("PasswordForm", (PasswordForm,), {"request": request})
        view = PasswordChangeView.as_view(
            form_class=form,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            template_name="admin/password_change.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        request.current_app = self.name
        return cast(TemplateResponse, view(request))

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return super().has_permission(request) and (user.is_verified() or not user_has_device(user))
