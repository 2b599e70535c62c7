"""The pages of an import: upload, preview, result, and the rejected lines to download."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import orjson
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_variables

from accounts.models import Account
from common.admin.formatting import format_provider
from common.admin.model_admin import get_staff_actor
from common.errors import NotFoundError, ServiceError
from credentials.imports.admin_services import (
    MAX_LINES,
    import_draft_create,
    import_draft_delete,
    import_draft_get,
    import_draft_run,
)
from credentials.imports.admin_upload import MAX_FILE_BYTES, BoundedUpload
from credentials.imports.files.recognition import FORMATS
from credentials.imports.files.templates import MEDIA_TYPES, TEMPLATE_FORMATS, build_template
from credentials.imports.models import ImportDraft
from credentials.models import Credential
from providers.registry import get_registry

_PREVIEW_LABELS = {
    "created": "would be created",
    "updated": "would be updated",
    "unchanged": "would stay unchanged",
    "rejected": "would be rejected",
}
_COMMAND = "manage.py import_credentials FILE --account {account}"


class UploadForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.all())
    format = forms.ChoiceField(
        choices=[("", "by the file's content"), *((name, name.upper()) for name in FORMATS)],
        required=False,
    )
    dates = forms.ChoiceField(
        label="01/02/2027 is",
        choices=[("", "not accepted"), ("dmy", "1 February"), ("mdy", "2 January")],
        required=False,
    )
    file = forms.FileField(
        help_text="CSV or XLSX with columns kind, properties.<field>, metadata.<key> and others, as a"
        " template has them; NDJSON or a JSON array of bodies of a POST; or an export.",
    )


def import_urls() -> list[URLPattern]:
    protect = admin.site.admin_view
    return [
        path("credentials/import/", upload_view, name="credentials_import"),
        path(
            "credentials/import/template/",
            protect(template_view),
            name="credentials_import_template",
        ),
        path("credentials/import/<uuid:id>/", protect(draft_view), name="credentials_import_draft"),
        path(
            "credentials/import/<uuid:id>/refused.ndjson",
            protect(rejected_lines_view),
            name="credentials_import_refused",
        ),
    ]


# A CSRF check before this view would read the form before the limit for its file is in place.
@csrf_exempt
def upload_view(request: HttpRequest) -> HttpResponse:
    """Show the form, and store an uploaded file as a draft."""
    handler = BoundedUpload(request)
    request.upload_handlers = [handler]
    view = admin.site.admin_view(csrf_protect(partial(_show_upload_form, handler)))
    return view(request)


@sensitive_variables("content")
def _show_upload_form(handler: BoundedUpload, request: HttpRequest) -> HttpResponse:
    _require_permission(request)
    form = UploadForm()
    if request.method == "POST":
        form = UploadForm(request.POST, request.FILES)
        is_valid = form.is_valid()
        if handler.too_large:
            # The form found no file, which is not what was wrong.
            form.errors.pop("file", None)
            account = form.cleaned_data.get("account")
            command = _COMMAND.format(account=account.slug if account else "SLUG")
            form.add_error(
                "file",
                f"The file has more than {MAX_FILE_BYTES // 1024**2} MiB. Import it on the server,"
                f" line by line: {command}",
            )
        elif is_valid:
            try:
                file = form.cleaned_data["file"]
                draft = import_draft_create(
                    account_id=form.cleaned_data["account"].pk,
                    actor=get_staff_actor(request),
                    filename=file.name,
                    format=form.cleaned_data["format"] or None,
                    dates=form.cleaned_data["dates"] or None,
                    content=file.read(),
                )
            except ServiceError as error:
                form.add_error("file", error.detail)
            else:
                return HttpResponseRedirect(
                    reverse("admin:credentials_import_draft", args=[draft.pk])
                )
    context = {
        **_build_context(request, "Import credentials"),
        "form": form,
        "mebibytes": MAX_FILE_BYTES // 1024**2,
        "lines": MAX_LINES,
        "command": _COMMAND.format(account="SLUG"),
        "kinds": sorted(set(get_registry().kinds.values()), key=lambda kind: kind.title.lower()),
        "template_formats": TEMPLATE_FORMATS,
    }
    return TemplateResponse(request, "admin/credentials/import/upload.html", context)


def template_view(request: HttpRequest) -> HttpResponse:
    """Return a file to fill in for the kind and in the format of the query, or the page to choose them."""
    _require_permission(request)
    kind = get_registry().get_kind(request.GET.get("kind", ""))
    format = next((each for each in TEMPLATE_FORMATS if each == request.GET.get("format")), None)
    if kind is None or format is None:
        messages.error(request, "Choose a kind and a format.")
        return HttpResponseRedirect(reverse("admin:credentials_import"))
    response = HttpResponse(build_template(kind, format), content_type=MEDIA_TYPES[format])
    response["Content-Disposition"] = f'attachment; filename="{kind.name}.{format}"'
    return response


def draft_view(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """Show what the file would do, or did. A POST imports or cancels it."""
    _require_permission(request)
    actor = get_staff_actor(request)
    try:
        if request.method == "POST" and "cancel" in request.POST:
            import_draft_delete(id=id, actor=actor)
            messages.info(request, "Nothing was imported, and the uploaded file was deleted.")
            return HttpResponseRedirect(reverse("admin:credentials_import"))
        if request.method == "POST":
            try:
                import_draft_run(id=id, actor=actor)
            except NotFoundError:
                raise
            except ServiceError as error:
                messages.error(request, error.detail)
            return HttpResponseRedirect(reverse("admin:credentials_import_draft", args=[id]))
        draft = import_draft_get(id=id, actor=actor)
    except NotFoundError as error:
        messages.warning(request, error.detail)
        return HttpResponseRedirect(reverse("admin:credentials_import"))
    title = {"shown": "Import: preview", "done": "Import: done"}.get(draft.state, "Import")
    context = {**_build_context(request, title), "draft": draft, **_build_report_context(draft)}
    return TemplateResponse(request, "admin/credentials/import/draft.html", context)


def rejected_lines_view(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """Return the rejected lines as NDJSON, as the command reports them: never a value."""
    _require_permission(request)
    try:
        draft = import_draft_get(id=id, actor=get_staff_actor(request))
    except NotFoundError:
        raise Http404 from None
    lines = b"".join(orjson.dumps(rejected) + b"\n" for rejected in draft.report["faults"])
    response = HttpResponse(lines, content_type="application/x-ndjson")
    response["Content-Disposition"] = 'attachment; filename="rejected.ndjson"'
    return response


def _require_permission(request: HttpRequest) -> None:
    if not request.user.has_perm("credentials.import_credential"):
        raise PermissionDenied


def _build_context(request: HttpRequest, title: str) -> dict[str, Any]:
    return {**admin.site.each_context(request), "title": title, "opts": Credential._meta}


def _build_report_context(draft: ImportDraft) -> dict[str, Any]:
    report = draft.report
    labels = {
        result: result if draft.state == "done" else label
        for result, label in _PREVIEW_LABELS.items()
    }
    rows = []
    for row in report["rows"]:
        provider = get_registry().get_provider(row["provider"])
        mark = format_provider(row["provider"], provider.name if provider else row["provider"])
        rows.append({**row, "mark": mark, "label": labels[row["result"]]})
    return {
        "report": report,
        "rows": rows,
        "counts": [(result, report[result], label) for result, label in labels.items()],
        "writes": report["created"] + report["updated"],
        "accepted": report["lines"] - report["rejected"],
    }
