"""Django's pages of users and groups, which need the password and code of the user who changes them.

Django's two-column selects are replaced: they have no names for screen readers and need JavaScript.
The dates that a login writes are read-only.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse

from accounts.reauthentication_form import (
    PROOF_FIELDS,
    PROOF_FIELDSET,
    ReauthenticationAdminMixin,
    ReauthenticationForm,
)
from common.admin.model_admin import RowActionsAdmin

if TYPE_CHECKING:
    _UserForm = UserChangeForm[User]
    _PasswordForm = AdminPasswordChangeForm[User]
else:
    # At run time these two are not generic.
    _UserForm, _PasswordForm = UserChangeForm, AdminPasswordChangeForm

admin.site.unregister([Group, User])


class GuardedUserForm(ReauthenticationForm, _UserForm):
    """The form of a user. Rights, the name and the address that a reset would go to are guarded."""


class GuardedPasswordForm(ReauthenticationForm, _PasswordForm):
    """The form with which a superuser sets another user's password."""


class GuardedGroupForm(ReauthenticationForm, forms.ModelForm[Group]):
    """The form of a group, whose permissions its members have."""

    class Meta:
        model = Group
        fields = ("name", "permissions")


@admin.register(User)
class PlainUserAdmin(ReauthenticationAdminMixin, RowActionsAdmin[User], UserAdmin[User]):
    change_user_password_template = "admin/accounts/user/password.html"  # noqa: S105 - a file
    fieldsets = [*(UserAdmin.fieldsets or ()), PROOF_FIELDSET]
    filter_horizontal = ()
    form = GuardedUserForm
    readonly_fields = ("last_login", "date_joined")

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        # Django's view creates the form without the request.
        view = copy.copy(self)
        view.change_password_form = type("Form", (GuardedPasswordForm,), {"request": request})
        response: HttpResponse = super(PlainUserAdmin, view).user_change_password(
            request, id, form_url
        )
        return response


@admin.register(Group)
class PlainGroupAdmin(ReauthenticationAdminMixin, RowActionsAdmin[Group], GroupAdmin):
    fields = ("name", "permissions", *PROOF_FIELDS)
    filter_horizontal = ()
    form = GuardedGroupForm
