"""Actions on the selected rows of the list, with one message for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect

from common.actors import Actor
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError
from credentials.core import queries
from credentials.core.displayed_health import get_displayed_health
from credentials.imports.files.recognition import Format
from credentials.imports.files.templates import MEDIA_TYPES
from credentials.models import Credential
from credentials.probing.on_demand import credential_check
from credentials.refresh import get_fresh_token
from credentials.revocation.policy import can_revoke
from credentials.services import credentials_hold
from credentials.services.export import build_document
from credentials.services.export_formats import write_export

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin

MAX_PROVIDER_CALLS: Final = 10
"""A provider can take 12 s to respond, and the page waits. The worker does what is due anyway."""

MAX_EXPORTED: Final = 1000
"""The page exports the selected rows only; the command `export_credentials` exports all."""

RowAction = Callable[[Credential, Actor], str]
"""Changes a row, and returns what happened to it as the end of a sentence."""


@admin.action(permissions=["use"], description="Check now: ask the provider")
def check_now(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> None:
    def check(row: Credential, actor: Actor) -> str:
        credential_check(account_id=row.account_id, id=row.pk, actor=actor)
        # The service has written a result to the database, but not to this instance.
        fresh = Credential.objects.select_related("oauth_app__refresh_pause").get(pk=row.pk)
        health = get_displayed_health(fresh)
        return f"{health['status']}. {' '.join(health['notes'])}".strip()

    rows = model_admin.limit_selection(request, queryset, MAX_PROVIDER_CALLS)
    apply_to_rows(model_admin, request, rows, check)


@admin.action(permissions=["use"], description="Refresh now: get a new access token")
def refresh_now(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> None:
    def refresh(row: Credential, actor: Actor) -> str:
        token = get_fresh_token(account_id=row.account_id, id=row.pk, actor=actor, force=True)
        until = f", valid until {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else ""
        return f"refreshed{until}."

    rows = model_admin.limit_selection(request, queryset, MAX_PROVIDER_CALLS)
    apply_to_rows(model_admin, request, rows, refresh)


@admin.action(permissions=["change"], description="Put on hold: refresh nothing until released")
def put_on_hold(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> None:
    _hold(model_admin, request, queryset, on_hold=True)


@admin.action(permissions=["change"], description="Release from hold")
def release_hold(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> None:
    _hold(model_admin, request, queryset, on_hold=False)


def _hold(
    model_admin: CredentialAdmin,
    request: HttpRequest,
    queryset: QuerySet[Credential],
    *,
    on_hold: bool,
) -> None:
    actor, ids = get_staff_actor(request), list(queryset.values_list("account_id", "pk"))
    count = 0
    # Each account has its own events.
    for account_id in sorted({account_id for account_id, _ in ids}):
        rows = Credential.objects.filter(
            id__in=[id for account, id in ids if account == account_id]
        )
        count += credentials_hold(account_id=account_id, rows=rows, actor=actor, on_hold=on_hold)
    verb = "put on hold" if on_hold else "released"
    others = len(ids) - count
    text = f"{count} {verb}." + (f" {others} unchanged." if others else "")
    model_admin.message_user(request, text, messages.SUCCESS)


@admin.action(permissions=["export"], description="Export selected as CSV, without secrets")
def export_selected(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse:
    return _export(queryset, "csv")


@admin.action(permissions=["export"], description="Export selected as XLSX, without secrets")
def export_selected_as_workbook(
    model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse:
    return _export(queryset, "xlsx")


def _export(queryset: QuerySet[Credential], format: Format) -> HttpResponse:
    ids = list(queryset.values_list("pk", flat=True)[:MAX_EXPORTED])
    # One page: the rows may be of several accounts, and pages are of one.
    rows = queries.fetch_filtered(Credential.objects.filter(pk__in=ids), MAX_EXPORTED)
    documents = (build_document(row) for row in rows)
    content = b"".join(write_export(documents, format))
    response = HttpResponse(content, content_type=MEDIA_TYPES[format])
    response["Content-Disposition"] = f'attachment; filename="credentials.{format}"'
    return response


def run_action(request: HttpRequest, model_admin: CredentialAdmin, row: Credential) -> HttpResponse:
    """Run the posted `action` on one credential, from its own page, and return to that page."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    actions = {"check_now": check_now, "refresh_now": refresh_now}
    action = actions.get(request.POST.get("action", ""))
    if action is None:
        raise BadRequest("This page has no such action.")
    # The same functions as on the list, so that both report the same.
    action(model_admin, request, Credential.objects.filter(pk=row.pk))
    return redirect("admin:credentials_credential_change", row.pk)


def apply_to_rows(
    model_admin: CredentialAdmin,
    request: HttpRequest,
    rows: Iterable[Credential],
    action: RowAction,
) -> None:
    """Run `action` on each row, and display its result or its error."""
    actor = get_staff_actor(request)
    for row in rows:
        try:
            model_admin.message_user(request, f"{row}: {action(row, actor)}", messages.SUCCESS)
        except ServiceError as error:
            # In a conflict, the error names the credential that is in the way.
            other_id = error.extra.get("id")
            suffix = f" ({other_id})" if other_id else ""
            model_admin.message_user(request, f"{row}: {error.detail}{suffix}", messages.ERROR)


def describe_deletion(row: Credential) -> str:
    """Return what happens at the provider if the credential is deleted."""
    if can_revoke(row.kind):
        return "its access is revoked at the provider, too"
    return "its provider cannot revoke it here, so the secret stays valid until you end it there"
