"""One secret on one page, for 30 seconds, to somebody who has just proved again who they are."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django_otp import user_has_device

from accounts.login import reauthenticate
from common.admin.forms import CodeInput
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError
from common.text import find_label_error
from credentials.models import Credential
from credentials.services.reveal import MAX_REASON_LENGTH, MAX_REVEALS_PER_HOUR, credential_reveal
from providers.properties import MASK

DISPLAY_SECONDS: Final = 30


class RevealForm(forms.Form):
    secret = forms.ChoiceField(label="Which secret")
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH, help_text="Why you need to see it. It is kept with your name."
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

    def __init__(self, user: Any, names: list[str], *args: Any) -> None:
        super().__init__(*args)
        self.fields["secret"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        if not user_has_device(user):
            del self.fields["otp"]

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if fault := find_label_error(reason, max_length=MAX_REASON_LENGTH):
            raise forms.ValidationError(fault)
        return reason


@never_cache
@sensitive_post_parameters()
@sensitive_variables("values")
def reveal_page(request: HttpRequest, row: Credential, context: dict[str, Any]) -> HttpResponse:
    """The form, or the secret that it asked for. The event is committed before the secret is sent."""
    names = [name for name, value in row.properties.items() if value == MASK]
    form = RevealForm(request.user, names, request.POST or None)
    page = {**context, "title": f"Reveal a secret of {row}", "opts": row._meta, "row": row}
    if request.method == "POST" and form.is_valid():
        try:
            shown = _revealed(request, row, form.cleaned_data)
        except ServiceError as problem:
            form.add_error(None, problem.detail)
        else:
            address = reverse("admin:credentials_credential_change", args=[row.pk])
            found = {**page, **shown, "seconds": DISPLAY_SECONDS, "address": address}
            response = TemplateResponse(
                request, "admin/credentials/credential/revealed.html", found
            )
            response["Refresh"] = f"{DISPLAY_SECONDS}; url={address}"
            return response
    limits = {
        "form": form,
        "names": names,
        "an_hour": MAX_REVEALS_PER_HOUR,
        "seconds": DISPLAY_SECONDS,
    }
    return TemplateResponse(request, "admin/credentials/credential/reveal.html", {**page, **limits})


def _revealed(request: HttpRequest, row: Credential, typed: dict[str, Any]) -> dict[str, Any]:
    """Raises Problem: wrong password or code (which locks out as a login does), too many, unopenable."""
    reauthenticate(request, password=typed["password"], otp=typed.get("otp"))
    name = typed["secret"]
    values = credential_reveal(
        account_id=row.account_id,
        id=row.pk,
        actor=get_staff_actor(request),
        reason=typed["reason"],
        secret_name=name,
    )
    return {"name": name, "value": values[name]}
