"""The steps of an import in the browser. Only these functions write drafts."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from typing import Any, Final

from common.actors import Actor
from common.db.clock import db_now
from common.db.ids import uuid7
from common.errors import ConflictError, ContentTooLargeError, InvalidInputError, NotFoundError
from common.management import read_bounded_lines
from common.text import escape_name
from credentials.imports.admin_upload import MAX_FILE_BYTES
from credentials.imports.batch import import_lines
from credentials.imports.csv_reader import read_csv
from credentials.imports.models import ImportDraft
from credentials.imports.readers import MAX_LINE_BYTES, read_ndjson
from credentials.imports.upsert import ImportOutcome
from credentials.imports.validation import ImportItem
from vault.sealing import Place, seal, unseal

MAX_LINES: Final = 10_000
DRAFT_LIFETIME: Final = dt.timedelta(hours=1)
MAX_PREVIEW_ROWS: Final = 100
READERS: Final = {"ndjson": read_ndjson, "csv": read_csv}


def import_draft_create(
    *, account_id: uuid.UUID, actor: Actor, filename: str, format: str, content: bytes
) -> ImportDraft:
    """Store the sealed file with a preview of what its import would do, and import nothing.

    It replaces earlier drafts of the actor. Raises ContentTooLargeError, or InvalidInputError for a
    file that cannot be read at all.
    """
    if len(content) > MAX_FILE_BYTES or content.count(b"\n") > MAX_LINES:
        raise ContentTooLargeError(
            f"A file imported here has at most {MAX_FILE_BYTES // 1024**2} MiB and {MAX_LINES:,}"
            " lines, so that the page responds at once."
        )
    report = _import(content, format, account_id=account_id, actor=actor, dry_run=True)
    if not report["lines"]:
        raise InvalidInputError("The file has no lines to import.")
    import_drafts_prune(actor=actor)
    draft = ImportDraft(
        id=uuid7(),
        account_id=account_id,
        actor=actor.name,
        filename=escape_name(filename)[:200],
        format=format,
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
    report = _import(
        content.encode("latin-1"), draft.format, account_id=draft.account_id, actor=actor
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


def _import(
    content: bytes, format: str, *, account_id: uuid.UUID, actor: Actor, dry_run: bool = False
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

    report = import_lines(
        READERS[format](read_bounded_lines(io.BytesIO(content), MAX_LINE_BYTES)),
        account_id=account_id,
        actor=actor,
        dry_run=dry_run,
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
    }
