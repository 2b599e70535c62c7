"""A credential's policy as staff read and edit it: what may be done with it through the proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache

from common.admin.forms import LinesField
from common.admin.model_admin import get_staff_actor
from common.errors import InvalidInputError, ServiceError
from credentials.api.policy_serializers import PolicySerializer
from credentials.models import Credential
from credentials.proxy.policy import policy_read, policy_set
from providers.registry import get_registry

Document = Mapping[str, Any]

_FIELDS: Final = {"rate_limit.requests": "rate_requests", "rate_limit.seconds": "rate_seconds"}


class PolicyForm(forms.Form):
    """The document of `policy_read` in boxes; whether it is one, the API's serializer says."""

    methods = LinesField(help_text="One on each line, such as GET. None: any method.")
    paths = LinesField(
        label="Path patterns",
        help_text="One on each line, such as /v1/charges*, where * is any run of characters. None: any path.",
    )
    nothing = forms.BooleanField(
        required=False,
        label="Allow no request",
        help_text="Nothing is sent with this credential until this is unticked.",
    )
    rate_requests = forms.IntegerField(required=False, label="Rate: requests")
    rate_seconds = forms.IntegerField(
        required=False,
        label="Rate: seconds",
        help_text="So many requests in so many seconds, over all processes. Both empty: no limit.",
    )
    concurrency = forms.IntegerField(
        required=False, help_text="Requests at once, in each process. Empty: as many as it takes."
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, held: Document, data: Any = None) -> None:
        super().__init__(data, initial={**_typed(held), "seen": json.dumps(held)})

    def clean_seen(self) -> Any:
        try:
            return json.loads(self.cleaned_data["seen"])
        except ValueError:
            self.add_error(None, "Something was missing from this page; open it again.")
            return None

    def clean(self) -> dict[str, Any]:
        typed = self.cleaned_data
        if typed.get("nothing") and typed.get("methods") and typed.get("paths"):
            self.add_error("nothing", "Leave the methods or the paths empty, or untick this.")
        if not self.errors:
            try:
                typed["policy"] = PolicySerializer(data=_document(typed)).validate_data()
            except InvalidInputError as problem:
                self.refuse(problem)
        return typed

    def refuse(self, problem: ServiceError) -> None:
        if not problem.fields:
            self.add_error(None, problem.detail)
        for path, reasons in problem.fields.items():
            name, _, at = path.partition(".")
            name, at = (_FIELDS[path], "") if path in _FIELDS else (name, at)
            line = f"line {int(at) + 1}: " if at.isdigit() else ""
            self.add_error(name, [capfirst(f"{line}{reason}") for reason in reasons])


@never_cache
def policy_page(request: HttpRequest, row: Credential, context: dict[str, Any]) -> HttpResponse:
    """The form; or, when it was sent and holds, the credential's page."""
    which: Any = {"account_id": row.account_id, "id": row.pk}
    form = PolicyForm(policy_read(**which), request.POST or None)
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            policy_set(
                **which,
                actor=get_staff_actor(request),
                policy=typed["policy"],
                expected=typed["seen"],
            )
        except ServiceError as problem:
            form.refuse(problem)
        else:
            messages.success(request, "The policy was saved.")
            return redirect("admin:credentials_credential_change", row.pk)
    page = {"title": f"Policy of {row}", "opts": row._meta, "row": row, "form": form}
    template = "admin/credentials/credential/policy.html"
    return TemplateResponse(request, template, {**context, **page})


def render_policy(row: Credential) -> SafeString:
    """What is restricted, a line for each; by the provider's own limits, too."""
    lines = [*_lines(policy_read(account_id=row.account_id, id=row.pk)), *_limits(row)]
    if not lines:
        return format_html('<span class="lk-none">{}</span>', "Nothing is restricted.")
    return format_html(
        '<ul class="lk-notes">{}</ul>', format_html_join("", "<li><b>{}</b> {}</li>", lines)
    )


def _lines(held: Document) -> Iterator[tuple[str, str]]:
    for name in ("methods", "paths"):
        if held[name] is not None:
            yield capfirst(name), ", ".join(held[name]) or "none"
    if rate := held["rate_limit"]:
        yield "Rate", f"{rate['requests']} requests in {rate['seconds']} seconds"
    if held["concurrency"]:
        yield "At once", f"{held['concurrency']} in each process"


def _limits(row: Credential) -> Iterator[tuple[str, str]]:
    provider = get_registry().get_provider(row.provider)
    for limit in provider.get_enforced_limits(row.kind) if provider else ():
        if limit.requests:
            yield "Provider", f"{limit.requests} requests in {limit.seconds} seconds"
        if limit.at_once:
            yield "Provider", f"{limit.at_once} at once"


def _typed(held: Document) -> dict[str, Any]:
    rate = held["rate_limit"] or {}
    return {
        "methods": held["methods"],
        "paths": held["paths"],
        "nothing": [] in (held["methods"], held["paths"]),
        "rate_requests": rate.get("requests"),
        "rate_seconds": rate.get("seconds"),
        "concurrency": held["concurrency"],
    }


def _document(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, as the API would be sent it. An empty box is no restriction, and never []."""
    methods, paths = typed["methods"] or None, typed["paths"] or None
    if typed["nothing"] and methods:
        paths = []
    elif typed["nothing"]:
        methods = []
    rate = {"requests": typed["rate_requests"], "seconds": typed["rate_seconds"]}
    given = {name: value for name, value in rate.items() if value is not None}
    return {
        "methods": methods,
        "paths": paths,
        "rate_limit": given or None,
        "concurrency": typed["concurrency"],
    }
