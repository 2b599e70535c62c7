"""Forms of the admin that need the password and code of the user who is logged in.

A copied session, or an unlocked screen, is not enough for a change that leads to a secret: a new API
token, more rights, or another address to which a secret is sent.
"""

from __future__ import annotations

from typing import Any, Final, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.login import reauthenticate
from common.admin.forms import build_code_field
from common.errors import ServiceError

PROOF_FIELDS: Final = ("your_password", "one_time_code")
PROOF_FIELDSET: Final[tuple[str, Any]] = ("Confirm that it is you", {"fields": PROOF_FIELDS})


class ReauthenticationForm(forms.Form):
    """A form with `your_password` and `one_time_code`, which are checked if `needs_proof` is True.

    They are checked last, so that a form with other errors uses up no code.
    """

    request: HttpRequest
    your_password = forms.CharField(
        strip=False,
        required=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    one_time_code = build_code_field()

    def needs_proof(self) -> bool:
        """Return True if the submitted values need the password and code."""
        return True

    def clean(self) -> dict[str, Any]:
        super().clean()
        # After an error of a service the same form is validated again, and a code is valid once.
        if not self.errors and not getattr(self, "service_error", None) and self.needs_proof():
            self._reauthenticate()
        return self.cleaned_data

    def _reauthenticate(self) -> None:
        values = self.cleaned_data
        try:
            reauthenticate(
                self.request, password=values["your_password"], otp=values["one_time_code"]
            )
        except ServiceError as error:
            # Not raised: the failure must be counted, and an exception would undo that.
            self.add_error("your_password", ValidationError(error.detail, code="reauthentication"))


class ReauthenticationAdminMixin(admin.ModelAdmin[Any]):
    """A model admin whose forms are ReauthenticationForms."""

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        form = super().get_form(request, obj, change=change, **kwargs)
        cast(type[ReauthenticationForm], form).request = request
        return form
