"""The pages of an import: upload, preview, outcome, and the refused lines to download."""

from __future__ import annotations

import uuid
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
from credentials.imports.models import ImportDraft
from credentials.models import Credential
from providers.registry import get_registry

_WOULD = {
    "created": "would be created",
    "updated": "would be updated",
    "unchanged": "would stay unchanged",
    "rejected": "would be rejected",
}
_COMMAND = "manage.py import_credentials FILE --account {account}"


class UploadForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.all())
    format = forms.ChoiceField(
        choices=[("", "by the file's ending"), ("ndjson", "NDJSON"), ("csv", "CSV")], required=False
    )
    file = forms.FileField(
        help_text="NDJSON: each line is the body of a POST. CSV: columns kind, name, owner_email,"
        " properties.<field>, metadata.<key>.",
    )


def import_urls() -> list[URLPattern]:
    wrap = admin.site.admin_view
    return [
        path("credentials/import/", upload_view, name="credentials_import"),
        path("credentials/import/<uuid:id>/", wrap(draft_view), name="credentials_import_draft"),
        path(
            "credentials/import/<uuid:id>/refused.ndjson",
            wrap(refused_view),
            name="credentials_import_refused",
        ),
    ]


@csrf_exempt
def upload_view(request: HttpRequest) -> HttpResponse:
    """The token is checked within: to check it first would read the form before its file's limit."""
    request.upload_handlers = [BoundedUpload(request)]
    guarded: Any = admin.site.admin_view(csrf_protect(_upload))
    response: HttpResponse = guarded(request)
    return response


@sensitive_variables("content")
def _upload(request: HttpRequest) -> HttpResponse:
    _require_permission(request)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST":
        (handler,) = request.upload_handlers
        form = UploadForm(request.POST, request.FILES)
        if getattr(handler, "too_large", False):
            form.is_valid()
            form.errors.pop("file", None)
            form.add_error("file", _too_large(form.cleaned_data.get("account")))
        elif form.is_valid():
            try:
                draft = _draft(request, form.cleaned_data)
            except ServiceError as problem:
                form.add_error("file", problem.detail)
            else:
                return HttpResponseRedirect(
                    reverse("admin:credentials_import_draft", args=[draft.pk])
                )
    context = {
        **_context(request, "Import credentials"),
        "form": form,
        "mebibytes": MAX_FILE_BYTES // 1024**2,
        "lines": MAX_LINES,
        "command": _COMMAND.format(account="SLUG"),
    }
    return TemplateResponse(request, "admin/credentials/import/upload.html", context)


def _draft(request: HttpRequest, typed: dict[str, Any]) -> ImportDraft:
    file = typed["file"]
    by_ending = "csv" if file.name.lower().endswith(".csv") else "ndjson"
    return import_draft_create(
        account_id=typed["account"].pk,
        actor=get_staff_actor(request),
        filename=file.name,
        format=typed["format"] or by_ending,
        content=file.read(),
    )


def draft_view(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """What the file would do; posted: do it. Afterwards, what it did."""
    _require_permission(request)
    try:
        if request.method == "POST":
            return _decided(request, id)
        draft = import_draft_get(id=id, actor=get_staff_actor(request))
    except NotFoundError as problem:
        messages.warning(request, problem.detail)
        return HttpResponseRedirect(reverse("admin:credentials_import"))
    title = {"shown": "Import: preview", "done": "Import: done"}.get(draft.state, "Import")
    return TemplateResponse(
        request,
        "admin/credentials/import/draft.html",
        {**_context(request, title), "draft": draft, **_shown(draft)},
    )


def _decided(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    if "cancel" in request.POST:
        import_draft_delete(id=id, actor=get_staff_actor(request))
        messages.info(request, "Nothing was imported, and the file is forgotten.")
        return HttpResponseRedirect(reverse("admin:credentials_import"))
    try:
        import_draft_run(id=id, actor=get_staff_actor(request))
    except NotFoundError:
        raise
    except ServiceError as problem:
        messages.error(request, problem.detail)
    return HttpResponseRedirect(reverse("admin:credentials_import_draft", args=[id]))


def refused_view(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """The refused lines as the command reports them: `{line, field, reason}`, never a value."""
    _require_permission(request)
    try:
        draft = import_draft_get(id=id, actor=get_staff_actor(request))
    except NotFoundError:
        raise Http404 from None
    lines = b"".join(orjson.dumps(fault) + b"\n" for fault in draft.report["faults"])
    response = HttpResponse(lines, content_type="application/x-ndjson")
    response["Content-Disposition"] = 'attachment; filename="refused.ndjson"'
    return response


def _require_permission(request: HttpRequest) -> None:
    if not request.user.has_perm("credentials.import_credential"):
        raise PermissionDenied


def _context(request: HttpRequest, title: str) -> dict[str, Any]:
    return {**admin.site.each_context(request), "title": title, "opts": Credential._meta}


def _shown(draft: ImportDraft) -> dict[str, Any]:
    report = draft.report
    said = {name: name if draft.state == "done" else would for name, would in _WOULD.items()}
    counts = [(name, report[name], word) for name, word in said.items()]
    writes = report["created"] + report["updated"]
    rows = [
        {**row, "mark": _mark(row["provider"]), "said": said[row["result"]]}
        for row in report["rows"]
    ]
    accepted = report["lines"] - report["rejected"]
    return {
        "report": report,
        "rows": rows,
        "counts": counts,
        "writes": writes,
        "accepted": accepted,
    }


def _mark(slug: str) -> Any:
    found = get_registry().get_provider(slug)
    return format_provider(slug, found.name if found else slug)


def _too_large(account: Account | None) -> str:
    command = _COMMAND.format(account=account.slug if account else "SLUG")
    return (
        f"The file has more than {MAX_FILE_BYTES // 1024**2} MiB. Larger ones are imported on the server, line"
        f" by line: {command}"
    )
