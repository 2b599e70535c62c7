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
from common.errors import Conflict, Invalid, NotFound, TooLarge
from common.management import bounded_lines
from common.text import printable
from credentials.imports.admin_upload import MAX_FILE
from credentials.imports.batch import Report, import_lines
from credentials.imports.csv_reader import csv_rows
from credentials.imports.models import ImportDraft
from credentials.imports.readers import MAX_LINE, Line, ndjson
from credentials.imports.upsert import Outcome
from credentials.imports.validation import Item
from vault.sealing import Place, seal, unseal

MAX_LINES: Final = 10_000
LIVES: Final = dt.timedelta(hours=1)
ROWS_SHOWN: Final = 100
FORMATS: Final = {"ndjson": ndjson, "csv": csv_rows}


def draft_make(
    *, account_id: uuid.UUID, actor: Actor, filename: str, format: str, content: bytes
) -> ImportDraft:
    """Say what importing `content` would do, store nothing of it but the sealed file.

    Raises TooLarge, or Invalid for a file that cannot be read at all.
    """
    _check_size(content)
    report = _run(content, format, account_id=account_id, actor=actor, dry_run=True)
    if not report["lines"]:
        raise Invalid("The file has no lines to import.")
    drafts_prune(actor=actor)
    draft = ImportDraft(
        id=uuid7(),
        account_id=account_id,
        actor=actor.name,
        filename=printable(filename)[:200],
        format=format,
        report=report,
    )
    # Any bytes are text in Latin-1, and lines that are not UTF-8 are for the import to refuse.
    draft.content = seal(Place.of(draft, "content"), content.decode("latin-1"))
    draft.save(force_insert=True)
    return draft


def draft_of(*, id: uuid.UUID, actor: Actor) -> ImportDraft:
    """The draft, for whoever uploaded it. Raises NotFound."""
    draft = (
        ImportDraft.objects.filter(id=id, actor=actor.name, created_at__gt=db_now() - LIVES)
        .select_related("account")
        .defer("content")
        .first()
    )
    if draft is None:
        raise NotFound("This upload is over, or was not yours. Upload the file again.")
    return draft


def draft_import(*, id: uuid.UUID, actor: Actor) -> None:
    """Import the file as it was shown. Once: of two that confirm, one does it, the other is told.

    Chunks are committed one after the other, so nothing is held long. Raises NotFound or Conflict.
    """
    draft = draft_of(id=id, actor=actor)
    if not ImportDraft.objects.filter(id=id, state="shown").update(state="running"):
        raise Conflict("This upload was imported already, or is being imported now.")
    draft.refresh_from_db(fields=["content"])
    if draft.content is None:
        raise Conflict("This upload was imported already.")
    content: str = unseal(Place.of(draft, "content"), draft.content)
    report = _run(content.encode("latin-1"), draft.format, account_id=draft.account_id, actor=actor)
    ImportDraft.objects.filter(id=id).update(state="done", content=None, report=report)


def draft_drop(*, id: uuid.UUID, actor: Actor) -> None:
    """Forget the upload. Nothing happens where there is none."""
    ImportDraft.objects.filter(id=id, actor=actor.name).delete()


def drafts_prune(*, actor: Actor | None = None) -> int:
    """Forget what is older than an hour, and what this actor uploaded before; how many it were."""
    count, _ = ImportDraft.objects.filter(created_at__lte=db_now() - LIVES).delete()
    if actor is not None:
        count += ImportDraft.objects.filter(actor=actor.name).delete()[0]
    return count


def _check_size(content: bytes) -> None:
    if len(content) > MAX_FILE or content.count(b"\n") > MAX_LINES:
        raise TooLarge(
            f"A file imported here has at most {MAX_FILE // 1024**2} MiB and {MAX_LINES:,} lines, so"
            " that the page answers at once."
        )


def _run(
    content: bytes, format: str, *, account_id: uuid.UUID, actor: Actor, dry_run: bool = False
) -> dict[str, Any]:
    """The report as a draft keeps it: counts, the first rows as they are shown, all refusals."""
    rows: list[dict[str, Any]] = []
    faults: list[dict[str, Any]] = []

    def on_result(line: int, item: Item, outcome: Outcome) -> None:
        if len(rows) < ROWS_SHOWN and outcome.problem is None:
            rows.append(_row(line, item, outcome))

    result = import_lines(
        _lines(content, format),
        account_id=account_id,
        actor=actor,
        dry_run=dry_run,
        on_fault=lambda fault: faults.append(
            {"line": fault.line, "field": fault.field, "reason": fault.reason}
        ),
        on_result=on_result,
    )
    return {**_counts(result), "rows": rows, "faults": faults}


def _lines(content: bytes, format: str) -> Iterator[Line]:
    return FORMATS[format](bounded_lines(io.BytesIO(content), MAX_LINE))


def _row(line: int, item: Item, outcome: Outcome) -> dict[str, Any]:
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


def _counts(report: Report) -> dict[str, int]:
    return {
        "lines": report.lines,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
    }
