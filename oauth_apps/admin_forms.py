from __future__ import annotations

from typing import Any

from django import forms

from accounts.reauthentication_form import ReauthenticationForm
from common.admin.forms import LinesField, ServiceForm, StrictJSONField, secret_input
from oauth_apps.models import OAuthApp
from oauth_apps.validation import find_origins
from providers.registry import get_registry


def list_app_providers() -> list[tuple[str, str]]:
    """Return slug and name of the providers at which an OAuth app can be registered."""
    return [
        (slug, provider.name)
        for slug, provider in sorted(get_registry().providers.items())
        if provider.oauth or any(kind.needs_app for kind in provider.kinds.values())
    ]


class OAuthAppForm(ReauthenticationForm, ServiceForm[OAuthApp]):
    client_secret = forms.CharField(
        required=False,
        strip=False,
        widget=secret_input(),
        help_text="Leave blank to keep the current one. The former one stays valid until it is dropped.",
    )
    drop_old_secret = forms.BooleanField(
        required=False, help_text="Delete the older of two live secrets."
    )
    redirect_uris = LinesField(
        label="Redirect URIs",
        help_text="Addresses that people may return to after connecting, one on each line.",
    )
    scopes = LinesField(help_text="One on each line.")
    config = StrictJSONField(
        rows=4, help_text="The provider's per-customer variables; {} for none."
    )
    authorize_params = StrictJSONField(
        rows=3,
        help_text="More parameters of authorization requests, such as prompt; {} for none.",
    )
    metadata = StrictJSONField(help_text="{} for none.")

    class Meta:
        model = OAuthApp
        fields = ("name", "revision")
        widgets = {"revision": forms.HiddenInput}

    def needs_proof(self) -> bool:
        """Return True if the secrets of an existing app would be sent elsewhere.

        A new app on a server of its own counts too: a credential may be moved to it.
        """
        if self.instance._state.adding:
            config = self.cleaned_data.get("config") or {}
            return bool(find_origins(self.cleaned_data.get("provider", ""), config))
        return "config" in self.changed_data


class OAuthAppAddForm(OAuthAppForm):
    drop_old_secret = None  # type: ignore[assignment]
    provider = forms.ChoiceField(choices=list_app_providers)
    client_secret = forms.CharField(
        strip=False,
        widget=secret_input(),
        help_text="It is encrypted at once, and never shown again.",
    )

    class Meta:
        model = OAuthApp
        fields = ("account", "name", "client_id")
        labels = {"client_id": "Client ID"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("config", "authorize_params", "metadata"):
            self.fields[name].required = False
