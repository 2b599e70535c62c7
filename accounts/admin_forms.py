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
        help_text="What the token may do. No scope includes another.",
    )

    class Meta:
        model = ApiToken
        fields = ("account", "name", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["expires_at"]
        field.required = False
        field.help_text = "Leave blank for a token that does not expire."
        for widget, part in zip(field.widget.widgets, ("date", "time"), strict=True):
            widget.attrs["aria-label"] = f"Expires at, {part}"
