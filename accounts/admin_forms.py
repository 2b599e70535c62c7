from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import Account, ApiToken
from common.admin.forms import ServiceForm
from common.scopes import ALL


class AccountForm(ServiceForm[Account]):
    class Meta:
        model = Account
        fields = ("name",)


class ApiTokenForm(ServiceForm[ApiToken]):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in ALL],
        widget=forms.CheckboxSelectMultiple,
        help_text="What the token may do. None implies another.",
    )

    class Meta:
        model = ApiToken
        fields = ("account", "name", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ends: Any = self.fields["expires_at"]
        ends.required = False
        ends.help_text = "Leave blank for a token without an end."
        for box, what in zip(ends.widget.widgets, ("date", "time"), strict=True):
            box.attrs["aria-label"] = f"Expires at, {what}"
