"""`manage.py import_credentials`: import a file of any length."""

from __future__ import annotations

import contextlib
import sys
import uuid
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
)
from credentials.imports.batch import ImportReport, RejectedLine, import_lines
from credentials.imports.files.dates import DATE_ORDERS
from credentials.imports.files.import_file import open_import_file
from credentials.imports.files.recognition import FORMATS


class Command(BaseCommand):
    help = (
        "Import credentials from a file: CSV, XLSX, NDJSON (each line is the body of a POST) or a JSON"
        " array. Its content decides which one it is, not its name. An invalid line rejects only that"
        " line. Importing the same file again changes nothing. Exit code 0:"
        " all lines were stored; 1: some were rejected; 2: nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a path, or - for standard input")
        parser.add_argument("--account", required=True, help="the account's slug")
        parser.add_argument(
            "--format",
            choices=FORMATS,
            help="read the file as this, whatever its content looks like",
        )
        parser.add_argument(
            "--dates",
            choices=DATE_ORDERS,
            help="what 01/02/2027 is: day first or month first; without it such dates are rejected",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="report what would happen; store nothing"
        )
        parser.add_argument(
            "--hold",
            action="store_true",
            help="put the imported grants on hold: nothing refreshes them until they are released",
        )
        parser.add_argument(
            "--report", help="a file for {line, field, reason} of each rejected line"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with raise_command_errors(), self._report_interruption():
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
    def _report_interruption(self) -> Iterator[None]:
        """Report how many lines were stored if the connection to the database is lost."""
        self.progress_report = ImportReport()
        try:
            yield
        except (OperationalError, InterfaceError):
            # A chunk is counted after it was committed.
            stored = self.progress_report.lines - self.progress_report.rejected
            raise CommandError(
                f"The connection to the database was lost after {stored} lines. Run the command again:"
                " lines that are stored already change nothing.",
                returncode=1 if stored else 2,
            ) from None

    def _run(
        self, stream: BinaryIO, report: ReportFile, account_id: uuid.UUID, options: dict[str, Any]
    ) -> ImportReport:
        progress = Progress(self.stderr)

        def show_progress(counts: ImportReport) -> None:
            self.progress_report = counts
            progress.show(
                counts.lines,
                f"{counts.created} created, {counts.updated} updated,"
                f" {counts.unchanged} unchanged, {counts.rejected} rejected",
            )

        def write_rejected_line(line: RejectedLine) -> None:
            report.write({"line": line.line, "field": line.field, "reason": line.reason})
            if options["report"] is None:
                # Without a report file, standard error is the only place that names the line.
                place = f"line {line.line}" + (f", {line.field}" if line.field else "")
                self.stderr.write(f"{place}: {line.reason}")

        file = open_import_file(stream, format=options["format"], dates=options["dates"])
        result = import_lines(
            file.lines,
            account_id=account_id,
            actor=get_command_actor("import_credentials"),
            dry_run=options["dry_run"],
            hold=options["hold"] or None,
            notices=file.notices,
            on_rejected=write_rejected_line,
            on_chunk=show_progress,
        )
        progress.finish()
        self._report_notices(report, result, is_listed=options["report"] is None)
        return result

    def _report_notices(self, report: ReportFile, result: ImportReport, *, is_listed: bool) -> None:
        for notice in result.notices:
            report.write(notice.to_dict())
            if is_listed:
                self.stderr.write(f"line {notice.line}: {notice.notice}")
        for sentence in result.file_notices:
            report.write({"line": None, "notice": sentence})
            self.stderr.write(sentence)
        if result.ignored:
            report.write({"line": None, "ignored": dict(result.ignored)})
            columns = ", ".join(f"{name} {count:,}" for name, count in result.ignored.items())
            self.stderr.write(f"ignored, because they are read-only: {columns}")
