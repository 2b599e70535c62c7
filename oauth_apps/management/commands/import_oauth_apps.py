from __future__ import annotations

import sys
import uuid
from collections import Counter
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandParser

from accounts.services import get_account
from common import strict_json
from common.actors import get_command_actor
from common.errors import BadRequestError, ServiceError
from common.management import (
    Progress,
    ReportFile,
    open_input,
    raise_command_errors,
    read_bounded_lines,
)
from oauth_apps.serializers import OAuthAppCreateSerializer
from oauth_apps.services import oauth_app_upsert

MAX_LINE = 64 * 1024


class Command(BaseCommand):
    help = (
        "Import OAuth apps from NDJSON: a line is a POST body. An app with the same provider and"
        " client_id is updated. Exit code 0: all stored; 1: some rejected; 2: nothing done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a path, or - for standard input")
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen")
        parser.add_argument(
            "--report", help="write {line, field, reason} of each rejected line here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors():
            account = get_account(options["account"])
            with (
                open_input(options["file"]) as stream,
                ReportFile(options["report"], source=options["file"]) as report,
            ):
                counts = self._run(stream, report, account.id, dry_run=options["dry_run"])
        self.stdout.write(
            " ".join(
                f"{name}={counts[name]}" for name in ("created", "updated", "unchanged", "rejected")
            )
        )
        if counts["rejected"]:
            sys.exit(1)

    def _run(
        self, stream: BinaryIO, report: ReportFile, account_id: uuid.UUID, *, dry_run: bool
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        progress = Progress(self.stderr)
        for number, raw in enumerate(read_bounded_lines(stream, MAX_LINE), 1):
            if not raw.strip() and len(raw) <= MAX_LINE:  # A blank line.
                continue
            try:
                if len(raw.rstrip(b"\r\n")) > MAX_LINE:
                    raise BadRequestError(f"The line is longer than {MAX_LINE // 1024} KiB.")
                body = strict_json.loads(raw)
                if not isinstance(body, dict):
                    raise BadRequestError("The line must be a JSON object.")
                result = oauth_app_upsert(
                    account_id=account_id,
                    actor=get_command_actor("import_oauth_apps"),
                    dry_run=dry_run,
                    **OAuthAppCreateSerializer(data=body).validate_data(),
                )
                counts[result] += 1
            except ServiceError as error:
                counts["rejected"] += 1
                field, reasons = next(iter(error.fields.items()), (None, [error.detail]))
                report.write({"line": number, "field": field, "reason": reasons[0]})
                self.stderr.write(f"line {number}: {error.detail}")
            progress.show(counts.total(), f"{counts['rejected']} rejected")
        progress.finish()
        return counts
