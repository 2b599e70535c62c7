from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib.auth.models import AnonymousUser, User

from accounts.models import Account, ApiToken
from accounts.reauthentication_form import ReauthenticationForm
from common.admin.forms import ServiceForm
from common.scopes import ALL, CREDENTIALS_REVEAL, CREDENTIALS_USE


class AccountForm(ServiceForm[Account]):
    class Meta:
        model = Account
        fields = ("name",)


_NEEDED_RIGHTS: Final = {
    CREDENTIALS_REVEAL: ("accounts.mint_apitoken", "credentials.reveal_credential"),
    CREDENTIALS_USE: ("accounts.mint_apitoken", "credentials.use_credential"),
}


def list_mintable_scopes(user: User | AnonymousUser) -> list[str]:
    """Return the scopes that a user may give to a token: no secret that the user could not see."""
    return [scope for scope in ALL if user.has_perms(_NEEDED_RIGHTS.get(scope, ()))]


class ApiTokenForm(ReauthenticationForm, ServiceForm[ApiToken]):
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
        scopes: Any = self.fields["scopes"]
        scopes.choices = [(scope, scope) for scope in list_mintable_scopes(self.request.user)]
        field: Any = self.fields["expires_at"]
        field.required = False
        field.help_text = "Leave blank for a token that does not expire."
        for widget, part in zip(field.widget.widgets, ("date", "time"), strict=True):
            widget.attrs["aria-label"] = f"Expires at, {part}"
