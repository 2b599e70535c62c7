"""Addresses of the admin, and what its pages say."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.forms import NullBooleanField
from django.http import HttpRequest
from django.urls import reverse

HOLDERS = {"credential", "oauthapp", "apitoken", "session"}
"""Models whose rows come with a secret: each row's page is looked at; of the others, one."""


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def all_addresses(request: HttpRequest) -> Iterator[str]:
    """The pages that `request.user` may open: those of each model, and of its rows."""
    yield reverse("admin:index")
    for model, model_admin in admin.site._registry.items():
        yield reverse("admin:app_list", args=[model._meta.app_label])
        yield address(model, "changelist")
        if model_admin.has_add_permission(request):
            yield address(model, "add")
        rows = model._default_manager.order_by("pk")
        for row in rows if model._meta.model_name in HOLDERS else rows[:1]:
            yield address(model, "change", row.pk)
        for row in rows[:1]:
            yield address(model, "history", row.pk)
            if model_admin.has_delete_permission(request, row):
                yield address(model, "delete", row.pk)


def text(response: Any) -> str:
    return html.unescape(response.content.decode())


def form_values(response: Any) -> dict[str, Any]:
    """What a browser would send if nothing were typed into the form of this page."""
    form = response.context["adminform"].form
    values = {}
    for field in form:
        value = field.field.prepare_value(field.value())
        if isinstance(field.field, NullBooleanField):
            value = str(value).lower()
        if value is not None and value is not False:
            values[field.html_name] = value
    return values


def errors(response: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found
