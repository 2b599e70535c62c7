"""The steps of an import in the browser. The only writer of drafts."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from collections.abc import Iterator
from typing import Any, Final

from common.actors import Actor
from common.db.clock import db_now
from common.db.ids import uuid7
from common.errors import ConflictError, ContentTooLargeError, InvalidInputError, NotFoundError
from common.management import read_bounded_lines
from common.text import escape_name
from credentials.imports.admin_upload import MAX_FILE_BYTES
from credentials.imports.batch import ImportReport, import_lines
from credentials.imports.csv_reader import read_csv
from credentials.imports.models import ImportDraft
from credentials.imports.readers import MAX_LINE_BYTES, ImportLine, read_ndjson
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
    """Say what importing `content` would do, store nothing of it but the sealed file.

    Raises TooLarge, or Invalid for a file that cannot be read at all.
    """
    _check_size(content)
    report = _run(content, format, account_id=account_id, actor=actor, dry_run=True)
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
    # Any bytes are text in Latin-1, and lines that are not UTF-8 are for the import to refuse.
    draft.content = seal(Place.of(draft, "content"), content.decode("latin-1"))
    draft.save(force_insert=True)
    return draft


def import_draft_get(*, id: uuid.UUID, actor: Actor) -> ImportDraft:
    """The draft, for whoever uploaded it. Raises NotFound."""
    draft = (
        ImportDraft.objects.filter(
            id=id, actor=actor.name, created_at__gt=db_now() - DRAFT_LIFETIME
        )
        .select_related("account")
        .defer("content")
        .first()
    )
    if draft is None:
        raise NotFoundError("This upload is over, or was not yours. Upload the file again.")
    return draft


def import_draft_run(*, id: uuid.UUID, actor: Actor) -> None:
    """Import the file as it was shown. Once: of two that confirm, one does it, the other is told.

    Chunks are committed one after the other, so nothing is held long. Raises NotFound or Conflict.
    """
    draft = import_draft_get(id=id, actor=actor)
    if not ImportDraft.objects.filter(id=id, state="shown").update(state="running"):
        raise ConflictError("This upload was imported already, or is being imported now.")
    draft.refresh_from_db(fields=["content"])
    if draft.content is None:
        raise ConflictError("This upload was imported already.")
    content: str = unseal(Place.of(draft, "content"), draft.content)
    report = _run(content.encode("latin-1"), draft.format, account_id=draft.account_id, actor=actor)
    ImportDraft.objects.filter(id=id).update(state="done", content=None, report=report)


def import_draft_delete(*, id: uuid.UUID, actor: Actor) -> None:
    """Forget the upload. Nothing happens where there is none."""
    ImportDraft.objects.filter(id=id, actor=actor.name).delete()


def import_drafts_prune(*, actor: Actor | None = None) -> int:
    """Forget what is older than an hour, and what this actor uploaded before; how many it were."""
    count, _ = ImportDraft.objects.filter(created_at__lte=db_now() - DRAFT_LIFETIME).delete()
    if actor is not None:
        count += ImportDraft.objects.filter(actor=actor.name).delete()[0]
    return count


def _check_size(content: bytes) -> None:
    if len(content) > MAX_FILE_BYTES or content.count(b"\n") > MAX_LINES:
        raise ContentTooLargeError(
            f"A file imported here has at most {MAX_FILE_BYTES // 1024**2} MiB and {MAX_LINES:,} lines, so"
            " that the page answers at once."
        )


def _run(
    content: bytes, format: str, *, account_id: uuid.UUID, actor: Actor, dry_run: bool = False
) -> dict[str, Any]:
    """The report as a draft keeps it: counts, the first rows as they are shown, all refusals."""
    rows: list[dict[str, Any]] = []
    faults: list[dict[str, Any]] = []

    def on_result(line: int, item: ImportItem, outcome: ImportOutcome) -> None:
        if len(rows) < MAX_PREVIEW_ROWS and outcome.error is None:
            rows.append(_row(line, item, outcome))

    result = import_lines(
        _lines(content, format),
        account_id=account_id,
        actor=actor,
        dry_run=dry_run,
        on_rejected=lambda fault: faults.append(
            {"line": fault.line, "field": fault.field, "reason": fault.reason}
        ),
        on_result=on_result,
    )
    return {**_counts(result), "rows": rows, "faults": faults}


def _lines(content: bytes, format: str) -> Iterator[ImportLine]:
    return READERS[format](read_bounded_lines(io.BytesIO(content), MAX_LINE_BYTES))


def _row(line: int, item: ImportItem, outcome: ImportOutcome) -> dict[str, Any]:
    """An item as it is shown: its secrets are masks already."""
    return {
        "line": line,
        "result": outcome.result,
        "id": str(outcome.id) if outcome.id and outcome.result != "created" else None,
        "name": item.name or item.properties.get("name") or "",
        "kind": item.kind.name,
        "provider": item.provider,
        "owner_email": item.owner_email or "",
        "properties": {n: v for n, v in item.properties.items() if n not in {"kind", "name"}},
        "metadata": item.metadata or {},
    }


def _counts(report: ImportReport) -> dict[str, int]:
    return {
        "lines": report.lines,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
    }
