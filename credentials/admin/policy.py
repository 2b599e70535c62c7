"""The policy of a credential: how its page displays it, and the page that edits it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache

from common.admin.forms import LinesField
from common.admin.model_admin import get_staff_actor
from common.errors import InvalidInputError, ServiceError
from credentials.admin.views import render_page
from credentials.api.policy_serializers import PolicySerializer
from credentials.models import Credential
from credentials.proxy.policy import policy_read, policy_set
from providers.registry import get_registry

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin

PolicyDocument = Mapping[str, Any]
"""A policy as the API represents it (credentials.api.policy_serializers)."""

_FIELDS: Final = {"rate_limit.requests": "rate_requests", "rate_limit.seconds": "rate_seconds"}
"""Fields of the form whose path in the document is longer than their name."""


class PolicyForm(forms.Form):
    """The policy's document as a form. The API's serializer validates it.

    `expected` is the document that the form was rendered from: saving fails if another user has
    changed the policy since.
    """

    methods = LinesField(help_text="One on each line, for example GET. Empty: any method.")
    paths = LinesField(
        label="Path patterns",
        help_text="One on each line, for example /v1/charges*, where * stands for any characters."
        " Empty: any path.",
    )
    block_all = forms.BooleanField(
        required=False,
        label="Allow no request",
        help_text="The proxy sends nothing with this credential until you untick this.",
    )
    rate_requests = forms.IntegerField(required=False, label="Rate: requests")
    rate_seconds = forms.IntegerField(
        required=False,
        label="Rate: seconds",
        help_text="At most this number of requests in this number of seconds, over all processes."
        " Both empty: no limit.",
    )
    concurrency = forms.IntegerField(
        required=False, help_text="Concurrent requests in each process. Empty: no limit."
    )
    expected = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, document: PolicyDocument, data: Mapping[str, Any] | None = None) -> None:
        rate = document["rate_limit"] or {}
        initial = {
            "methods": document["methods"],
            "paths": document["paths"],
            "block_all": [] in (document["methods"], document["paths"]),
            "rate_requests": rate.get("requests"),
            "rate_seconds": rate.get("seconds"),
            "concurrency": document["concurrency"],
            "expected": json.dumps(document),
        }
        super().__init__(data, initial=initial)

    def clean_expected(self) -> object:
        try:
            return json.loads(self.cleaned_data["expected"])
        except ValueError:
            self.add_error(None, "A part of this page is missing. Open it again.")
            return None

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if values.get("block_all") and values.get("methods") and values.get("paths"):
            self.add_error("block_all", "Leave the methods or the paths empty, or untick this.")
        if not self.errors:
            try:
                values["policy"] = PolicySerializer(data=self._build_document()).validate_data()
            except InvalidInputError as error:
                self.add_service_error(error)
        return values

    def add_service_error(self, error: ServiceError) -> None:
        """Display the reasons at their fields, with the number of the line for a list."""
        if not error.fields:
            self.add_error(None, error.detail)
        for path, reasons in error.fields.items():
            name, _, position = path.partition(".")
            if path in _FIELDS:
                name, position = _FIELDS[path], ""
            prefix = f"line {int(position) + 1}: " if position.isdigit() else ""
            self.add_error(name, [capfirst(f"{prefix}{reason}") for reason in reasons])

    def _build_document(self) -> dict[str, Any]:
        """Return the submitted values as the API's document."""
        values = self.cleaned_data
        # In the document, an empty list permits nothing. An empty field restricts nothing.
        methods, paths = values["methods"] or None, values["paths"] or None
        if values["block_all"] and methods:
            paths = []
        elif values["block_all"]:
            methods = []
        rate = {"requests": values["rate_requests"], "seconds": values["rate_seconds"]}
        return {
            "methods": methods,
            "paths": paths,
            "rate_limit": {n: value for n, value in rate.items() if value is not None} or None,
            "concurrency": values["concurrency"],
        }


@never_cache
def policy_page(
    request: HttpRequest, model_admin: CredentialAdmin, row: Credential
) -> HttpResponse:
    """Render the form, or save the policy and redirect to the credential."""
    document = policy_read(account_id=row.account_id, id=row.pk)
    form = PolicyForm(document, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            policy_set(
                account_id=row.account_id,
                id=row.pk,
                actor=get_staff_actor(request),
                policy=form.cleaned_data["policy"],
                expected=form.cleaned_data["expected"],
            )
        except ServiceError as error:
            form.add_service_error(error)
        else:
            messages.success(request, "The policy was saved.")
            return redirect("admin:credentials_credential_change", row.pk)
    return render_page(model_admin, request, "policy", f"Policy of {row}", row=row, form=form)


def render_policy(row: Credential) -> SafeString:
    """Return the restrictions of the policy and of the provider, one on each line."""
    document = policy_read(account_id=row.account_id, id=row.pk)
    lines = [
        (capfirst(name), ", ".join(document[name]) or "none")
        for name in ("methods", "paths")
        if document[name] is not None
    ]
    if rate := document["rate_limit"]:
        lines.append(("Rate", f"{rate['requests']} requests in {rate['seconds']} seconds"))
    if document["concurrency"]:
        lines.append(("Concurrent", f"{document['concurrency']} in each process"))
    provider = get_registry().get_provider(row.provider)
    for limit in provider.get_enforced_limits(row.kind) if provider else ():
        if limit.requests:
            lines.append(("Provider", f"{limit.requests} requests in {limit.seconds} seconds"))
        if limit.at_once:
            lines.append(("Provider", f"{limit.at_once} concurrent requests"))
    if not lines:
        return format_html('<span class="lk-none">{}</span>', "Nothing is restricted.")
    return format_html(
        '<ul class="lk-notes">{}</ul>', format_html_join("", "<li><b>{}</b> {}</li>", lines)
    )
