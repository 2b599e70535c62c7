"""What is done to the chosen rows after a page has asked how. Each says what became of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from common.actors import Actor
from common.admin.forms import StrictJSONField
from common.admin.model_admin import get_staff_actor
from common.errors import ServiceError
from credentials.api.serializers import CredentialMergeSerializer
from credentials.models import Credential
from credentials.services.change_app import credential_change_app
from credentials.services.crud import credential_update
from credentials.services.mark_reauth import credential_mark_for_reconnection
from oauth_apps.models import OAuthApp

AT_MOST: Final = 50
"""What a page of the list shows: a line is said of each."""

RowAction = Callable[[Credential, Actor], str]


class ReconnectForm(forms.Form):
    """Nothing is asked but whether."""


class ChangeAppForm(forms.Form):
    oauth_app = forms.ModelChoiceField(OAuthApp.objects.none(), label="OAuth app")


class MetadataForm(forms.Form):
    patch = StrictJSONField(
        rows=6,
        label="Merge into the metadata",
        help_text='As a merge patch (RFC 7396): {"team": "ops", "old": null} sets team and takes'
        " old away; what is not named stays.",
    )

    def clean_patch(self) -> dict[str, Any]:
        patch = self.cleaned_data["patch"]
        try:
            sent = CredentialMergeSerializer(data={"metadata": patch}).validate_data()
        except ServiceError as problem:
            reasons = [reason for found in problem.fields.values() for reason in found]
            raise forms.ValidationError(reasons or problem.detail) from None
        checked: dict[str, Any] = sent["metadata"]
        return checked


@admin.action(permissions=["change"], description="Mark for reconnection")
def mark_for_reconnection(
    page: Any, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse | None:
    def mark(row: Credential, who: Actor) -> str:
        done = credential_mark_for_reconnection(account_id=row.account_id, id=row.pk, actor=who)
        return "marked for reconnection." if done else "waits for reconnection already."

    rows = page.limit_selection(request, queryset, AT_MOST)
    form = ReconnectForm(request.POST)
    lead = (
        "They are refreshed and used no more until their owners connect them again. Owners whose"
        " address is known get a mail."
    )
    return _asked(page, request, rows, form, mark, "Mark for reconnection", lead)


@admin.action(permissions=["change"], description="Move to another OAuth app")
def move_to_app(
    page: Any, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse | None:
    rows = page.limit_selection(request, queryset, AT_MOST)
    if len({(row.account_id, row.provider) for row in rows}) > 1:
        text = "Select credentials of one account and one provider; nothing was done."
        page.message_user(request, text, messages.ERROR)
        return None
    form = ChangeAppForm(request.POST if "apply" in request.POST else None)
    field: Any = form.fields["oauth_app"]
    if rows:
        first = rows[0]
        field.queryset = OAuthApp.objects.filter(
            account_id=first.account_id, provider=first.provider
        ).order_by("name", "id")

    def move(row: Credential, who: Actor) -> str:
        app = form.cleaned_data["oauth_app"]
        which: Any = {"account_id": row.account_id, "id": row.pk, "actor": who}
        done = credential_change_app(**which, oauth_app_id=app.pk)
        return f"moved to {app}." if done else f"is of {app} already."

    lead = (
        "A grant is bound to the client that got it: where the provider refuses the other client,"
        " the credential has to be connected again."
    )
    return _asked(page, request, rows, form, move, "Move to another OAuth app", lead)


@admin.action(permissions=["change"], description="Edit metadata of selected")
def edit_metadata(
    page: Any, request: HttpRequest, queryset: QuerySet[Credential]
) -> HttpResponse | None:
    form = MetadataForm(request.POST if "apply" in request.POST else None)

    def edit(row: Credential, who: Actor) -> str:
        before = row.revision
        # The service puts the merged object in the place of the patch, so each row gets its own.
        credential_update(
            account_id=row.account_id,
            id=row.pk,
            actor=who,
            changes={"metadata": form.cleaned_data["patch"]},
            merge=True,
        )
        row.refresh_from_db(fields=["revision"])
        return "metadata edited." if row.revision != before else "has this metadata already."

    rows = page.limit_selection(request, queryset, AT_MOST)
    lead = "The same change is made to each. A row that would then break a rule stays as it is."
    return _asked(page, request, rows, form, edit, "Edit metadata", lead)


def _asked(
    page: Any,
    request: HttpRequest,
    rows: list[Credential],
    form: forms.Form,
    do: RowAction,
    title: str,
    lead: str,
) -> HttpResponse | None:
    """The page that asks, or, once it was answered, what became of each row above the list."""
    if not rows:
        return None
    if "apply" in request.POST and form.is_valid():
        _do_each(page, request, rows, do)
        return None
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "lead": lead,
        "rows": rows,
        "form": form,
        "action": request.POST["action"],
    }
    return TemplateResponse(request, "admin/credentials/credential/bulk.html", context)


def _do_each(page: Any, request: HttpRequest, rows: list[Credential], do: RowAction) -> None:
    who = get_staff_actor(request)
    for row in rows:
        try:
            page.message_user(request, f"{row}: {do(row, who)}", messages.SUCCESS)
        except ServiceError as problem:
            other = problem.extra.get("id")
            also = f" ({other})" if other else ""
            page.message_user(request, f"{row}: {problem.detail}{also}", messages.ERROR)
