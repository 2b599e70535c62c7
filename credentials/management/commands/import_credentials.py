from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from accounts.services import get_account
from common.actors import get_command_actor
from common.management import (
    Progress,
    ReportFile,
    open_input,
    raise_command_errors,
    read_bounded_lines,
)
from credentials.imports.batch import ImportReport, RejectedLine, import_lines
from credentials.imports.csv_reader import read_csv
from credentials.imports.readers import MAX_LINE_BYTES, read_ndjson

FORMATS = {"ndjson": read_ndjson, "csv": read_csv}


class Command(BaseCommand):
    help = (
        "Import credentials from a file: NDJSON (a line is a POST body) or CSV. A wrong line rejects"
        " itself alone. Importing the same file again changes nothing. Exit code 0: all stored;"
        " 1: some rejected; 2: nothing done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a path, or - for standard input")
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument(
            "--format", choices=FORMATS, help="default: by the file's ending, else ndjson"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would happen")
        parser.add_argument(
            "--report", help="write {line, field, reason} of each rejected line here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors(), self._interruption():
            account = get_account(options["account"])
            with (
                open_input(options["file"]) as stream,
                ReportFile(options["report"], source=options["file"]) as report,
            ):
                result = self._run(stream, report, account.id, options)
        self.stdout.write(
            f"created={result.created} updated={result.updated}"
            f" unchanged={result.unchanged} rejected={result.rejected}"
        )
        if result.rejected:
            sys.exit(1)

    @contextlib.contextmanager
    def _interruption(self) -> Iterator[None]:
        """Say how far it came where the database went away: what was counted is committed."""
        self.so_far = ImportReport()
        try:
            yield
        except (OperationalError, InterfaceError):
            stored = self.so_far.lines - self.so_far.rejected
            raise CommandError(
                f"The database stopped answering after {stored} lines. Run it again: what is"
                " stored is unchanged then.",
                returncode=1 if stored else 2,
            ) from None

    def _run(
        self, stream: BinaryIO, report: ReportFile, account_id: Any, options: dict[str, Any]
    ) -> ImportReport:
        progress = Progress(self.stderr)

        def on_chunk(so_far: ImportReport) -> None:
            self.so_far = so_far
            progress.show(so_far.lines, _counts(so_far))

        def on_fault(fault: RejectedLine) -> None:
            report.write({"line": fault.line, "field": fault.field, "reason": fault.reason})
            if options["report"] is None:
                where = f"line {fault.line}" + (f", {fault.field}" if fault.field else "")
                self.stderr.write(f"{where}: {fault.reason}")

        by_ending = "csv" if options["file"].endswith(".csv") else "ndjson"
        lines = FORMATS[options["format"] or by_ending](read_bounded_lines(stream, MAX_LINE_BYTES))
        result = import_lines(
            lines,
            account_id=account_id,
            actor=get_command_actor("import_credentials"),
            dry_run=options["dry_run"],
            on_rejected=on_fault,
            on_chunk=on_chunk,
        )
        progress.finish()
        return result


def _counts(report: ImportReport) -> str:
    return (
        f"{report.created} created, {report.updated} updated,"
        f" {report.unchanged} unchanged, {report.rejected} rejected"
    )
