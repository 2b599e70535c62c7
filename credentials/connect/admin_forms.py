from __future__ import annotations

from typing import Any

from django import forms

from common.admin.forms import LinesField, ServiceForm, StrictJSONField
from credentials.connect.models import ConnectLink
from providers.registry import get_registry


def list_connectable_kinds() -> list[tuple[str, str]]:
    """The kinds that a page can connect, and "" for the only one of the OAuth app."""
    found = [("", "The OAuth app's only one")]
    for _, provider in sorted(get_registry().providers.items()):
        by_oauth = bool(provider.oauth and provider.oauth.authorize_url)
        found += [
            (kind.name, kind.title)
            for kind in provider.kinds.values()
            if provider.slug != "custom"
            and (kind.mechanism in {"key", "password"} or (kind.mechanism == "oauth2" and by_oauth))
        ]
    return found


class ConnectLinkForm(ServiceForm[ConnectLink]):
    """One body of POST /v1/connect-links. What is left empty is absent."""

    kind = forms.ChoiceField(choices=list_connectable_kinds, required=False)
    return_to = forms.CharField(
        required=False,
        label="Return to",
        help_text="Exactly one of the OAuth app's redirect URIs, or of the account's return URLs.",
    )
    credential = forms.CharField(
        required=False, help_text="The id of a credential that is to be connected again."
    )
    hours = forms.IntegerField(
        initial=24, min_value=1, max_value=168, help_text="How long the link works."
    )
    scopes = LinesField(help_text="One on each line; none for the OAuth app's own.")
    properties = StrictJSONField(
        rows=3, required=False, help_text="Parts of the provider's addresses, such as a subdomain."
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
        sent = dict(self.cleaned_data)
        del sent["account"]
        app, credential = sent.pop("oauth_app"), sent.pop("credential")
        sent |= {
            "oauth_app_id": str(app.pk) if app else "",
            "credential_id": credential,
            "expires_in": sent.pop("hours") * 3600,
        }
        return {name: value for name, value in sent.items() if value not in ("", None, [])}
