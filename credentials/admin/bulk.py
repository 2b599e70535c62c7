"""Actions on the selected rows of the list that first display a page with a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from common.actors import Actor
from common.admin.forms import StrictJSONField
from common.errors import ServiceError
from credentials.admin.actions import apply_to_rows
from credentials.admin.views import render_page
from credentials.api.serializers import CredentialMergeSerializer
from credentials.models import Credential
from credentials.services import (
    credential_change_app,
    credential_mark_for_reconnection,
    credential_update,
)
from oauth_apps.models import OAuthApp

if TYPE_CHECKING:
    from credentials.admin.credential import CredentialAdmin

MAX_BULK_ROWS: Final = 50
"""The rows of one page of the list: each gets a message."""

Rows = list[Credential]


class BulkForm(forms.Form):
    """The form of a bulk action. Its page lists the rows below `lead`."""

    title: ClassVar[str]
    lead: ClassVar[str]

    def __init__(self, rows: Rows, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data)

    @classmethod
    def check_rows(cls, rows: Rows) -> str:
        """Return why the action is impossible for this selection, or ""."""
        return ""

    def apply(self, row: Credential, actor: Actor) -> str:
        """Change one row, and return what happened to it."""
        raise NotImplementedError


class ReconnectForm(BulkForm):
    title = "Mark for reconnection"
    lead = (
        "These credentials are not refreshed or used any more until their owners connect them again."
        " Owners with a known address get an e-mail."
    )

    def apply(self, row: Credential, actor: Actor) -> str:
        marked = credential_mark_for_reconnection(account_id=row.account_id, id=row.pk, actor=actor)
        return "marked for reconnection." if marked else "is waiting for reconnection already."


class ChangeAppForm(BulkForm):
    title = "Move to another OAuth app"
    lead = (
        "A grant belongs to the OAuth client that it was issued to. If the provider rejects it for the"
        " other client, the owner has to connect the credential again."
    )
    oauth_app = forms.ModelChoiceField(OAuthApp.objects.none(), label="OAuth app")

    def __init__(self, rows: Rows, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(rows, data)
        field = cast("forms.ModelChoiceField[OAuthApp]", self.fields["oauth_app"])
        field.queryset = OAuthApp.objects.filter(
            account_id=rows[0].account_id, provider=rows[0].provider
        ).order_by("name", "id")

    @classmethod
    def check_rows(cls, rows: Rows) -> str:
        if len({(row.account_id, row.provider) for row in rows}) > 1:
            return "Select credentials of one account and one provider; nothing was done."
        return ""

    def apply(self, row: Credential, actor: Actor) -> str:
        app = self.cleaned_data["oauth_app"]
        moved = credential_change_app(
            account_id=row.account_id, id=row.pk, actor=actor, oauth_app_id=app.pk
        )
        return f"moved to {app}." if moved else f"belongs to {app} already."


class MetadataForm(BulkForm):
    title = "Edit metadata"
    lead = "Each credential gets the same change. One that would break a rule keeps its metadata."
    patch = StrictJSONField(
        rows=6,
        label="Merge into the metadata",
        help_text='A merge patch (RFC 7396): {"team": "ops", "old": null} sets team and removes old;'
        " other names stay.",
    )

    def clean_patch(self) -> dict[str, Any]:
        patch = self.cleaned_data["patch"]
        try:
            changes = CredentialMergeSerializer(data={"metadata": patch}).validate_data()
        except ServiceError as error:
            reasons = [reason for each in error.fields.values() for reason in each]
            raise forms.ValidationError(reasons or error.detail) from None
        return cast(dict[str, Any], changes["metadata"])

    def apply(self, row: Credential, actor: Actor) -> str:
        before = row.revision
        credential_update(
            account_id=row.account_id,
            id=row.pk,
            actor=actor,
            changes={"metadata": self.cleaned_data["patch"]},
            merge=True,
        )
        # The service returns nothing: another revision shows that it wrote.
        row.refresh_from_db(fields=["revision"])
        return "metadata edited." if row.revision != before else "has this metadata already."


def _build_action(
    form_class: type[BulkForm], description: str
) -> Callable[[CredentialAdmin, HttpRequest, QuerySet[Credential]], HttpResponse | None]:
    """Return an action that displays the form, and applies it once the form is submitted."""

    @admin.action(permissions=["change"], description=description)
    def run(
        model_admin: CredentialAdmin, request: HttpRequest, queryset: QuerySet[Credential]
    ) -> HttpResponse | None:
        rows = model_admin.limit_selection(request, queryset, MAX_BULK_ROWS)
        if not rows:
            return None
        if text := form_class.check_rows(rows):
            model_admin.message_user(request, text, messages.ERROR)
            return None
        is_submitted = "apply" in request.POST
        form = form_class(rows, request.POST if is_submitted else None)
        if is_submitted and form.is_valid():
            apply_to_rows(model_admin, request, rows, form.apply)
            return None
        context = {"lead": form.lead, "rows": rows, "form": form, "action": request.POST["action"]}
        return render_page(model_admin, request, "bulk", form.title, **context)

    return run


mark_for_reconnection = _build_action(ReconnectForm, "Mark for reconnection")
move_to_app = _build_action(ChangeAppForm, "Move to another OAuth app")
edit_metadata = _build_action(MetadataForm, "Edit metadata of selected")
