from __future__ import annotations

from typing import Any

from django import forms

from common.admin.forms import LinesField, ServiceForm, StrictJSONField
from credentials.connect.flow_request import connects_by_oauth
from credentials.connect.models import ConnectLink
from providers.registry import get_registry


def list_connectable_kinds() -> list[tuple[str, str]]:
    """Return the kinds that a page can connect, and "" for the only kind of the OAuth app."""
    choices = [("", "The only kind of the OAuth app")]
    for _, provider in sorted(get_registry().providers.items()):
        choices += [
            (kind.name, kind.title)
            for kind in provider.kinds.values()
            if provider.slug != "custom"
            and (kind.mechanism in {"key", "password"} or connects_by_oauth(provider, kind))
        ]
    return choices


class ConnectLinkForm(ServiceForm[ConnectLink]):
    """The parameters of POST /v1/connect-links. A field that is left empty is not sent."""

    kind = forms.ChoiceField(choices=list_connectable_kinds, required=False)
    return_to = forms.CharField(
        required=False,
        label="Return to",
        help_text="The address to send the person back to. It must be exactly one of the OAuth app's"
        " redirect URIs, or of the account's return URLs.",
    )
    credential = forms.CharField(
        required=False, help_text="To reconnect an existing credential, enter its id."
    )
    hours = forms.IntegerField(
        initial=24, min_value=1, max_value=168, help_text="How long the link works."
    )
    scopes = LinesField(help_text="One per line. Leave empty to use the OAuth app's own scopes.")
    properties = StrictJSONField(
        rows=3,
        required=False,
        help_text="Parts of the provider's addresses that differ per customer, such as a subdomain.",
    )
    metadata = StrictJSONField(rows=4, required=False)

    class Meta:
        model = ConnectLink
        fields = ("account", "oauth_app", "name", "owner_email", "external_id")
        labels = {"oauth_app": "OAuth app"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oauth_app"].required = False

    def build_request_body(self) -> dict[str, Any]:
        body = dict(self.cleaned_data)
        del body["account"]
        app = body.pop("oauth_app")
        body["oauth_app_id"] = str(app.pk) if app else ""
        body["credential_id"] = body.pop("credential")
        body["expires_in"] = body.pop("hours") * 3600
        return {name: value for name, value in body.items() if value not in ("", None, [])}
