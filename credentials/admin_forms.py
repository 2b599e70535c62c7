from __future__ import annotations

from typing import Any

from django import forms

from common.admin_forms import ServiceForm, StrictJSONField, UnechoedTextarea
from credentials.models import Credential


class CredentialForm(ServiceForm[Credential]):
    metadata = StrictJSONField(help_text="{} for none.")

    class Meta:
        model = Credential
        fields = ("name", "owner_email", "revision")
        widgets = {"revision": forms.HiddenInput}


class CredentialAddForm(ServiceForm[Credential]):
    """One import body. What is left empty is absent, so that an import over a row keeps it."""

    properties = StrictJSONField(
        widget=UnechoedTextarea(),
        help_text='A JSON object with its kind, such as {"kind": "stripe_key", "secret": "…"}. Secret'
        " fields are sealed at once and never shown: after an error, paste it again.",
    )
    metadata = StrictJSONField(required=False)

    class Meta:
        model = Credential
        fields = ("account", "oauth_app", "name", "owner_email", "external_id")
        labels = {"oauth_app": "OAuth app"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oauth_app"].required = False
        self.fields[
            "external_id"
        ].help_text = "Which upstream account this is, for kinds whose properties do not say."

    def body(self) -> dict[str, Any]:
        body = {
            name: value
            for name, value in self.cleaned_data.items()
            if name not in {"account", "oauth_app"} and value not in ("", None)
        }
        if app := self.cleaned_data["oauth_app"]:
            body["oauth_app_id"] = str(app.pk)
        return body
