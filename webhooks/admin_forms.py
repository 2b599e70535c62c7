from __future__ import annotations

from typing import Any

from django import forms

from common.admin.forms import ServiceForm
from webhooks.event_types import EVENT_TYPES
from webhooks.models import WebhookEndpoint


class EndpointForm(ServiceForm[WebhookEndpoint]):
    url = forms.CharField(
        label="URL",
        max_length=2048,
        widget=forms.URLInput(attrs={"class": "vURLField"}),
        help_text="https on port 443 of a public DNS name.",
    )
    events = forms.MultipleChoiceField(
        choices=[(type, type) for type in EVENT_TYPES], widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("enabled", "revision")
        widgets = {"revision": forms.HiddenInput}


class EndpointAddForm(EndpointForm):
    class Meta:
        model = WebhookEndpoint
        fields = ("account",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["events"].initial = list(EVENT_TYPES)
