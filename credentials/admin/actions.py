"""What is done to the chosen rows of the list. Each says what became of each row."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect

from common.actors import Actor
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError
from credentials.core import queries
from credentials.models import Credential
from credentials.probing.on_demand import credential_check
from credentials.refresh import get_fresh_token
from credentials.revocation.policy import can_revoke
from credentials.services.export import EXPORT_COLUMNS, format_row

AT_ONCE: Final = 10
"""A provider may take 12 s to answer, and the page waits. For many, the worker does what is due."""

EXPORTED: Final = 1000
"""The command exports them all; the page, what is chosen on it."""


@admin.action(permissions=["use"], description="Check now: ask the provider")
def check_now(page: Any, request: HttpRequest, queryset: QuerySet[Credential]) -> None:
    def check(row: Credential, who: Actor) -> str:
        credential_check(account_id=row.account_id, id=row.pk, actor=who)
        row.refresh_from_db(fields=["health"])
        notes = " ".join(row.health["notes"])
        return f"{row.health['status']}. {notes}".strip()

    _each(page, request, queryset, check)


@admin.action(permissions=["use"], description="Refresh now: get a new access token")
def refresh_now(page: Any, request: HttpRequest, queryset: QuerySet[Credential]) -> None:
    def refresh(row: Credential, who: Actor) -> str:
        fresh = get_fresh_token(account_id=row.account_id, id=row.pk, actor=who, force=True)
        until = f", good until {fresh.expires_at:%Y-%m-%d %H:%M} UTC" if fresh.expires_at else ""
        return f"refreshed{until}."

    _each(page, request, queryset, refresh)


@admin.action(permissions=["export"], description="Export selected as CSV, without secrets")
def export_selected(
    page: Any, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse:
    ids = list(queryset.values_list("pk", flat=True)[:EXPORTED])
    response = HttpResponse(_csv(ids), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="credentials.csv"'
    return response


_ON_ONE: Final = {"check_now": check_now, "refresh_now": refresh_now}


def run_action(page: Any, request: HttpRequest, row: Credential) -> HttpResponse:
    """Do to `row` what was posted as `action`, and go back to its page. Or 405; or BadRequest."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    action = _ON_ONE.get(request.POST.get("action", ""))
    if action is None:
        raise BadRequest("This page knows no such action.")
    action(page, request, Credential.objects.filter(pk=row.pk))
    return redirect("admin:credentials_credential_change", row.pk)


def describe_deletion(row: Credential) -> str:
    """What deleting it will do at its provider."""
    if can_revoke(row.kind):
        return "its access is revoked at the provider, too"
    return (
        "its provider takes no revocation, so the secret stays valid there until it is ended there"
    )


def _each(
    page: Any,
    request: HttpRequest,
    queryset: QuerySet[Credential],
    do: Callable[[Credential, Actor], str],
) -> None:
    who = get_staff_actor(request)
    for row in page.limit_selection(request, queryset, AT_ONCE):
        try:
            page.message_user(request, f"{row}: {do(row, who)}", messages.SUCCESS)
        except ServiceError as problem:
            page.message_user(request, f"{row}: {problem.detail}", messages.ERROR)


def _csv(ids: list[uuid.UUID]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(EXPORT_COLUMNS)
    for shown in queries.fetch_filtered(Credential.objects.filter(pk__in=ids), len(ids)):
        writer.writerow(format_row(shown.document))
    return text.getvalue()
