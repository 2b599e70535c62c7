"""The page that reveals one secret for 30 seconds, after the user has authenticated again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from django import forms
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django_otp import user_has_device

from accounts.login import reauthenticate
from common.admin.forms import CodeInput
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError
from common.text import find_label_error
from credentials.admin.views import render_page
from credentials.health.models import UnreadableResponse
from credentials.models import Credential
from credentials.services.reveal import (
    MAX_REASON_LENGTH,
    MAX_REVEALS_PER_HOUR,
    credential_reveal,
    credential_reveal_response,
)
from providers.properties import MASK

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin

DISPLAY_SECONDS: Final = 30
UNREAD_RESPONSE: Final = "token response that could not be read"


class RevealForm(forms.Form):
    secret = forms.ChoiceField(label="Which secret")
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH,
        help_text="Why you need the secret. The reason is kept with your name.",
    )
    password = forms.CharField(
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    otp = forms.CharField(
        label="One-time code",
        max_length=32,
        widget=CodeInput(inputmode="numeric"),
    )

    def __init__(self, user: User, names: list[str], data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data)
        choice = cast(forms.ChoiceField, self.fields["secret"])
        choice.choices = [(name, name) for name in names]
        if not user_has_device(user):
            del self.fields["otp"]

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if error := find_label_error(reason, max_length=MAX_REASON_LENGTH):
            raise forms.ValidationError(error)
        return reason


@never_cache
@sensitive_post_parameters()
@sensitive_variables("values", "secret")
def reveal_page(
    request: HttpRequest, model_admin: CredentialAdmin, row: Credential
) -> HttpResponse:
    """Render the form, or the secret once the form is valid and the user has authenticated.

    The event is committed before the secret is rendered. A wrong password or code locks the user
    out as it does at the login.
    """
    names = [name for name, value in row.properties.items() if value == MASK]
    if UnreadableResponse.objects.filter(credential_id=row.pk).exists():
        names.append(UNREAD_RESPONSE)
    title = f"Reveal a secret of {row}"
    # Only staff reach an admin view, so the user is not anonymous.
    form = RevealForm(cast(User, request.user), names, request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            reauthenticate(request, password=values["password"], otp=values.get("otp"))
            secret = _reveal(request, row, values["secret"], values["reason"])
        except ServiceError as error:
            form.add_error(None, error.detail)
        else:
            address = reverse("admin:credentials_credential_change", args=[row.pk])
            response: HttpResponse = render_page(
                model_admin,
                request,
                "revealed",
                title,
                row=row,
                name=values["secret"],
                value=secret,
                seconds=DISPLAY_SECONDS,
                address=address,
            )
            # A header instead of a script, so that the secret disappears without JavaScript.
            response["Refresh"] = f"{DISPLAY_SECONDS}; url={address}"
            return response
    return render_page(
        model_admin,
        request,
        "reveal",
        title,
        row=row,
        form=form,
        names=names,
        max_per_hour=MAX_REVEALS_PER_HOUR,
        seconds=DISPLAY_SECONDS,
    )


@sensitive_variables("properties", "response")
def _reveal(request: HttpRequest, row: Credential, name: str, reason: str) -> str:
    """Return the secret `name` after its event is committed. Raises ServiceError."""
    actor = get_staff_actor(request)
    if name == UNREAD_RESPONSE:
        response = credential_reveal_response(
            account_id=row.account_id, id=row.pk, actor=actor, reason=reason
        )
        return response.body.decode("utf-8", "replace")
    properties = credential_reveal(
        account_id=row.account_id, id=row.pk, actor=actor, reason=reason, secret_name=name
    )
    return str(properties[name])
