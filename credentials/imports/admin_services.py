"""The steps of an import in the browser. Only these functions write drafts."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import uuid
from typing import Any, Final, cast

from common.actors import Actor
from common.db.clock import db_now
from common.db.ids import uuid7
from common.errors import ConflictError, ContentTooLargeError, InvalidInputError, NotFoundError
from common.text import escape_name
from credentials.imports.admin_upload import MAX_FILE_BYTES
from credentials.imports.batch import import_lines
from credentials.imports.files.dates import DateOrder
from credentials.imports.files.import_file import open_import_file
from credentials.imports.files.recognition import Format
from credentials.imports.models import ImportDraft
from credentials.imports.upsert import ImportOutcome
from credentials.imports.validation import ImportItem
from vault.sealing import Place, seal, unseal

MAX_LINES: Final = 10_000
DRAFT_LIFETIME: Final = dt.timedelta(hours=1)
MAX_PREVIEW_ROWS: Final = 100
_SEPARATOR: Final = ":"
"""Between the format and the order of dates in `ImportDraft.format`."""


def import_draft_create(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    filename: str,
    format: Format | None,
    content: bytes,
    dates: DateOrder | None = None,
) -> ImportDraft:
    """Store the sealed file with a preview of what its import would do, and import nothing.

    It replaces earlier drafts of the actor. Raises ContentTooLargeError, or InvalidInputError for a
    file that cannot be read at all.
    """
    if len(content) > MAX_FILE_BYTES:
        raise _build_size_error()
    # Read once only to count: a line of a workbook or of an array is no line of the file.
    file = open_import_file(io.BytesIO(content), format=format, dates=dates)
    if sum(1 for _ in itertools.islice(file.lines, MAX_LINES + 1)) > MAX_LINES:
        raise _build_size_error()
    report = _import(content, file.format, dates, account_id=account_id, actor=actor, dry_run=True)
    if not report["lines"]:
        raise InvalidInputError("The file has no lines to import.")
    import_drafts_prune(actor=actor)
    draft = ImportDraft(
        id=uuid7(),
        account_id=account_id,
        actor=actor.name,
        filename=escape_name(filename)[:200],
        format=f"{file.format}{_SEPARATOR}{dates}" if dates else file.format,
        report=report,
    )
    # Any bytes are text in Latin-1. The import itself rejects lines that are not UTF-8.
    draft.content = seal(Place.of(draft, "content"), content.decode("latin-1"))
    draft.save(force_insert=True)
    return draft


def import_draft_get(*, id: uuid.UUID, actor: Actor) -> ImportDraft:
    """Return the draft. Raises NotFoundError, also for another actor's draft."""
    draft = (
        ImportDraft.objects.filter(
            id=id, actor=actor.name, created_at__gt=db_now() - DRAFT_LIFETIME
        )
        .select_related("account")
        .defer("content")
        .first()
    )
    if draft is None:
        raise NotFoundError("This upload has expired, or is not yours. Upload the file again.")
    return draft


def import_draft_run(*, id: uuid.UUID, actor: Actor) -> None:
    """Import the file of the preview, once. Chunks are committed one after the other.

    Raises NotFoundError, or ConflictError if it is imported already or at the same time.
    """
    draft = import_draft_get(id=id, actor=actor)
    # The conditional update decides between two confirmations.
    if not ImportDraft.objects.filter(id=id, state="shown").update(state="running"):
        raise ConflictError("This upload was imported already, or is being imported now.")
    draft.refresh_from_db(fields=["content"])
    if draft.content is None:
        raise ConflictError("This upload was imported already.")
    content: str = unseal(Place.of(draft, "content"), draft.content)
    format, _, dates = draft.format.partition(_SEPARATOR)
    report = _import(
        content.encode("latin-1"),
        cast(Format, format),
        cast(DateOrder, dates) if dates else None,
        account_id=draft.account_id,
        actor=actor,
    )
    ImportDraft.objects.filter(id=id).update(state="done", content=None, report=report)


def import_draft_delete(*, id: uuid.UUID, actor: Actor) -> None:
    """Delete the draft of the actor, if there is one."""
    ImportDraft.objects.filter(id=id, actor=actor.name).delete()


def import_drafts_prune(*, actor: Actor | None = None) -> int:
    """Delete expired drafts, and all drafts of `actor`. Returns how many were deleted."""
    count, _ = ImportDraft.objects.filter(created_at__lte=db_now() - DRAFT_LIFETIME).delete()
    if actor is not None:
        count += ImportDraft.objects.filter(actor=actor.name).delete()[0]
    return count


def _build_size_error() -> ContentTooLargeError:
    return ContentTooLargeError(
        f"A file imported here has at most {MAX_FILE_BYTES // 1024**2} MiB and {MAX_LINES:,} lines,"
        " so that the page responds at once."
    )


def _import(
    content: bytes,
    format: Format,
    dates: DateOrder | None,
    *,
    account_id: uuid.UUID,
    actor: Actor,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Import `content`. Returns the report that a draft stores: counts, first rows, all rejections."""
    rows: list[dict[str, Any]] = []
    rejected_lines: list[dict[str, Any]] = []

    def on_result(line: int, item: ImportItem, outcome: ImportOutcome) -> None:
        if len(rows) >= MAX_PREVIEW_ROWS or outcome.error is not None:
            return
        # Properties have no secrets: validation has replaced them by masks.
        properties = {
            name: value for name, value in item.properties.items() if name not in {"kind", "name"}
        }
        rows.append(
            {
                "line": line,
                "result": outcome.result,
                "id": str(outcome.id) if outcome.id and outcome.result != "created" else None,
                "name": item.name or item.properties.get("name") or "",
                "kind": item.kind.name,
                "provider": item.provider,
                "owner_email": item.owner_email or "",
                "properties": properties,
                "metadata": item.metadata or {},
            }
        )

    file = open_import_file(io.BytesIO(content), format=format, dates=dates)
    report = import_lines(
        file.lines,
        account_id=account_id,
        actor=actor,
        dry_run=dry_run,
        notices=file.notices,
        on_rejected=lambda rejected: rejected_lines.append(rejected.to_dict()),
        on_result=on_result,
    )
    return {
        "lines": report.lines,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "rows": rows,
        # The name that stored reports have.
        "faults": rejected_lines,
        "notices": [notice.to_dict() for notice in report.notices],
        "file_notices": report.file_notices,
        "ignored": dict(report.ignored),
    }
